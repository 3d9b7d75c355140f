"""The file system isolation control, tried by the command itself."""

import json
import os
import secrets
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tuneguard.errors import UsageError
from tuneguard.sandbox.controls import Bind
from world.cage import PRELUDE, of_its_own_user, package_folders, python, run

pytestmark = pytest.mark.sandbox

SEARCH = """
written, pairs = sys.argv[1][::-1], [tuple(pair) for pair in json.loads(sys.argv[2])]
inodes = {inode for _, inode in pairs}
secrets = (bytes.fromhex(written), written.encode())
found = {"by inode": [], "sockets": [], "by content": [], "in environments": []}
system = json.loads(sys.argv[3])  # too large to read; searched by inode

def walk(folder, searched):
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        # a directory's own word for what it holds is quick, but says nothing of what is mounted there
        if searched or entry.inode() in inodes or not (entry.is_file() or entry.is_dir()):
            info = os.lstat(entry.path)
            if (info.st_dev, info.st_ino) in pairs:
                found["by inode"].append(entry.path)
            if stat.S_ISSOCK(info.st_mode):
                found["sockets"].append(entry.path)
            if searched and stat.S_ISREG(info.st_mode):
                with contextlib.suppress(OSError), open(entry.path, "rb") as file:
                    text = file.read()
                    if any(secret in text for secret in secrets):
                        found["by content"].append(entry.path)
        if entry.is_dir(follow_symlinks=False) and entry.path != "/proc":
            walk(entry.path, searched and entry.path not in system)

walk("/", True)
for process in filter(str.isdigit, os.listdir("/proc")):
    for name in ("environ", "cmdline"):
        with contextlib.suppress(OSError), open(f"/proc/{process}/{name}", "rb") as file:
            text = file.read()
            if any(secret in text for secret in secrets):
                found["in environments"].append(f"{process} {name}")
found["descriptors"] = sorted(int(name) for name in os.listdir("/proc/self/fd"))[:-1]
found["init's"] = {name: attempt(open, "/proc/1/" + name, "rb") for name in ("mem", "environ", "maps")}
found["init's"] |= {f"fd/{at}": attempt(os.readlink, f"/proc/1/fd/{at}") for at in range(32)}
found["init's"] |= {name: attempt(os.listdir, "/proc/1/" + name) for name in ("root", "cwd")}
found["environment"] = sorted(os.environ)
say(found)
"""


def test_a_search_for_keys_and_agents_finds_not_a_byte(backend, tmp_path, out):
    """Everything that a careless machine holds is planted; the supervisor itself has all of it open."""
    secret = secrets.token_bytes(24)
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    key = home / ".ssh" / "id_ed25519"
    key.write_bytes(b"-----BEGIN-----" + secret)
    agent = home / "agent.sock"
    supervisor = """
import json, os, socket, sys
sys.path.insert(0, sys.argv[4])
from tuneguard.sandbox.bubblewrap import Bubblewrap
from tuneguard.sandbox.environment import clean_environment
from tuneguard.sandbox.unshare import Unshare
from tuneguard.sandbox.controls import Bind, Confinement
from pathlib import Path
key = open(os.path.expanduser("~/.ssh/id_ed25519"), "rb")
os.set_inheritable(key.fileno(), True)
agent = socket.socket(socket.AF_UNIX)
agent.connect(os.environ["SSH_AUTH_SOCK"])
agent.set_inheritable(True)
backend = {"unshare": Unshare, "bubblewrap": Bubblewrap}[sys.argv[1]]()
held = bytes.fromhex(sys.argv[2]) * 3
outcome = backend.run(Confinement(
    (sys.executable, "-I", "-S", "-c", sys.stdin.read(), sys.argv[2][::-1], sys.argv[3],
     json.dumps(["/usr", "/sys", sys.prefix, sys.base_prefix])),
    (Bind(Path(sys.argv[5]), "/inside/out", True),), "/inside/out", clean_environment(), 120.0,
    memory=1 << 30, processes=16, output=lambda line: print(line.decode(), flush=True)))
assert outcome.succeeded, outcome
"""
    with socket.socket(socket.AF_UNIX) as listener:
        # the path of a socket has 108 bytes at most, and a test's folder may be deeper
        here = Path.cwd()
        os.chdir(home)
        try:
            listener.bind("agent.sock")
        finally:
            os.chdir(here)
        listener.listen()
        inodes = [(path.stat().st_dev, path.stat().st_ino) for path in (key, agent, home)]
        done = subprocess.run(
            [
                *(sys.executable, "-c", supervisor, backend.name, secret.hex()),
                *(json.dumps(inodes), package_folders(), str(out.source)),
            ],
            input=PRELUDE + SEARCH,
            env={
                "HOME": str(home),
                "SSH_AUTH_SOCK": "agent.sock",
                "AWS_SECRET_ACCESS_KEY": "=" + secret.hex(),
                "TUNEGUARD_PASSPHRASE": secret.hex(),
                "PATH": os.environ["PATH"],
            },
            capture_output=True,
            text=True,
            check=False,
            cwd=home,
        )

    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["by inode"] == []
    assert found["sockets"] == []
    assert found["by content"] == []
    assert found["in environments"] == []
    assert found["descriptors"] == [0, 1, 2]
    assert set(found["init's"].values()) <= {"EACCES", "ENOENT"}
    assert not {"AWS_SECRET_ACCESS_KEY", "TUNEGUARD_PASSPHRASE", "SSH_AUTH_SOCK"} & set(found["environment"])


def test_the_root_holds_what_was_listed_and_of_a_home_only_the_interpreter(backend, data):
    ran = python(
        backend,
        """
        say({"root": sorted(os.listdir("/")), "home": {
            path: os.listdir(path) for path in ("/home", "/root") if os.path.exists(path)}})
        """,
        data,
    )

    allowed = {
        "bin",
        "dev",
        "etc",
        "lib",
        "lib32",
        "lib64",
        "libx32",
        "proc",
        "sbin",
        "sys",
        "tmp",
        "usr",
        "inside",
    }
    prefixes = {Path(prefix).parts[1] for prefix in (sys.prefix, sys.base_prefix, *_real_prefixes())}
    assert set(ran.said["root"]) - allowed - prefixes <= {"run"}
    for home, entries in ran.said["home"].items():
        for entry in entries:
            assert any(prefix.startswith(f"{home}/{entry}") for prefix in _real_prefixes())
    assert ran.outcome.control("filesystem").state is of_its_own_user(backend)


def _real_prefixes():
    return {os.path.realpath(sys.prefix), os.path.realpath(sys.base_prefix), sys.prefix, sys.base_prefix}


def test_inputs_cannot_be_changed_by_any_means(backend, data):
    ran = python(
        backend,
        """
        row, folder = "/inside/data/rows.jsonl", "/inside/data"
        say({
            "write": attempt(open, row, "ab"),
            "truncate": attempt(os.truncate, row, 0),
            "create": attempt(open, folder + "/poison.jsonl", "xb"),
            "unlink": attempt(os.unlink, row),
            "rename": attempt(os.rename, row, folder + "/other"),
            "link": attempt(os.link, row, "/inside/data/link"),
            "chmod": attempt(os.chmod, row, 0o600),
            "utime": attempt(os.utime, row),
            "through proc": attempt(open, "/proc/self/cwd/rows.jsonl", "ab"),
        })
        """,
        data,
        workdir="/inside/data",
    )

    assert set(ran.said.values()) == {"EROFS"}
    assert (data.source / "rows.jsonl").read_bytes() == b"{}\n"


def test_the_system_and_the_interpreter_cannot_be_changed(backend):
    ran = python(
        backend,
        """
        places = ["/", "/usr", "/etc", sys.prefix, sys.base_prefix, "/proc"]
        say({place: attempt(os.mkdir, place + "/new") for place in places})
        """,
    )

    assert set(ran.said.values()) <= {"EROFS", "ENOENT"}
    assert ran.said["/usr"] == ran.said["/"] == "EROFS"


def test_what_the_command_writes_belongs_to_whoever_ran_it(backend, out):
    ran = python(
        backend,
        """
        os.makedirs("/inside/out/checkpoint-1/deep")
        with open("/inside/out/checkpoint-1/deep/model.bin", "wb") as file:
            file.write(b"weights")
        os.chmod("/inside/out/checkpoint-1/deep/model.bin", 0o640)
        say(os.stat("/inside/out").st_uid == os.getuid())
        """,
        out,
    )

    made = out.source / "checkpoint-1" / "deep" / "model.bin"
    assert ran.said
    assert made.read_bytes() == b"weights"
    assert (made.stat().st_uid, made.stat().st_gid) == (os.geteuid(), os.getegid())
    assert stat.S_IMODE(made.stat().st_mode) == 0o640
    assert stat.S_IMODE(made.parent.stat().st_mode) == 0o700
    made.unlink()


def test_a_file_can_be_bound_alone_and_its_neighbours_stay_hidden(backend, tmp_path):
    (tmp_path / "train-config.yaml").write_text("epochs: 2")
    (tmp_path / "secret").write_text("no")

    ran = python(
        backend,
        'say([os.listdir("/inside"), open("/inside/config.yaml").read()])',
        Bind(tmp_path / "train-config.yaml", "/inside/config.yaml"),
    )

    assert ran.said == [["config.yaml"], "epochs: 2"]


def test_no_file_can_be_made_that_runs_as_its_owner(backend, out):
    """A set-uid program in the checkpoint folder would run as the supervisor, for anybody who calls it."""
    ran = python(
        backend,
        """
        path = "/inside/out/shell"
        open(path, "wb").close()
        descriptor = os.open(path, os.O_RDONLY)
        say({
            "chmod": attempt(os.chmod, path, 0o4755),
            "fchmod": attempt(os.fchmod, descriptor, 0o2755),
            "open": attempt(os.open, "/inside/out/other", os.O_CREAT | os.O_WRONLY, 0o4755),
            "tmpfile": attempt(os.open, "/inside/out", os.O_TMPFILE | os.O_WRONLY, 0o4755),
            "mknod": attempt(os.mknod, "/inside/out/node", 0o4644 | stat.S_IFREG),
            "plain": attempt(os.chmod, path, 0o755),
        })
        """,
        out,
    )

    said = ran.said
    assert said.pop("plain") == "possible"
    assert set(said.values()) == {"EPERM"}


def test_there_are_five_devices_and_none_can_be_made(backend, out):
    ran = python(
        backend,
        """
        modes = {name: os.lstat("/dev/" + name).st_mode for name in os.listdir("/dev")}
        devices = [name for name, mode in modes.items() if stat.S_ISCHR(mode) or stat.S_ISBLK(mode)]
        say({"devices": sorted(devices),
             "disk": attempt(os.mknod, "/inside/out/disk", 0o600 | stat.S_IFBLK, os.makedev(254, 0)),
             "memory": attempt(os.mknod, "/tmp/mem", 0o600 | stat.S_IFCHR, os.makedev(1, 1)),
             "terminal": attempt(os.open, "/dev/tty", os.O_RDWR) != "possible"})
        """,
        out,
    )

    assert ran.said == {
        "devices": ["full", "null", "random", "urandom", "zero"],
        "disk": "EPERM",
        "memory": "EPERM",
        "terminal": True,
    }


def test_nothing_is_mounted_with_set_uid_or_devices_but_the_devices_themselves(backend, data, out):
    ran = python(
        backend,
        """
        lines = [line.split() for line in open("/proc/self/mounts")]
        say([[target, options.split(",")] for _, target, _, options, *_ in lines])
        """,
        data,
        out,
    )

    for target, options in ran.said:
        assert "nosuid" in options, target
        device = target.startswith(("/dev/", "/proc/")) and target != "/dev/shm"
        assert "nodev" in options or device, target


def test_the_kernels_settings_cannot_be_written_though_root_may_own_them(backend):
    """Without any capability, root's uid may write core_pattern: a program that the machine runs as root."""
    ran = python(
        backend,
        """
        names = ("sys/kernel/core_pattern", "sys/kernel/hostname", "sysrq-trigger", "self/oom_score_adj")
        say({name: attempt(open, "/proc/" + name, "w") for name in names})
        """,
    )

    assert set(ran.said.values()) <= {"EROFS", "EACCES", "ENOENT"}
    assert ran.said["sys/kernel/core_pattern"] in ("EROFS", "EACCES")


def test_no_privilege_is_left_and_none_can_be_had(backend):
    ran = python(
        backend,
        """
        import ctypes, resource
        libc = ctypes.CDLL(None, use_errno=True)
        def call(name, *arguments):
            if getattr(libc, name)(*arguments) < 0:
                raise OSError(ctypes.get_errno(), name)
        status = dict(line.rstrip().split(":", 1) for line in open("/proc/self/status"))
        say({
            "uid": os.getuid(), "groups": len(os.getgroups()),
            "capabilities": [int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")],
            "no new privileges": status["NoNewPrivs"].strip(), "filter": status["Seccomp"].strip(),
            "user namespace": attempt(call, "unshare", 0x10000000),
            "mount": attempt(call, "mount", b"tmpfs", b"/tmp", b"tmpfs", 0, None),
            "trace": attempt(call, "ptrace", 16, 1, 0, 0),
            "root": attempt(os.chroot, "/tmp"),
            "identity": attempt(os.setuid, 0),
            "core": resource.getrlimit(resource.RLIMIT_CORE),
        })
        """,
    )

    said = ran.said
    assert said["uid"] != 0
    assert said["capabilities"] == [0, 0, 0, 0]
    assert (said["no new privileges"], said["filter"]) == ("1", "2")
    assert {said[name] for name in ("user namespace", "mount", "trace", "root")} == {"EPERM"}
    assert said["identity"] in ("EPERM", "EINVAL")
    assert said["core"] == [1, 1]


def test_keyrings_are_out_of_reach(backend):
    ran = python(
        backend,
        """
        import ctypes, platform
        libc = ctypes.CDLL(None, use_errno=True)
        numbers = {"x86_64": (250, 248, 249), "aarch64": (219, 217, 218)}[platform.machine()]
        def call(number, *arguments):
            if libc.syscall(number, *arguments) < 0:
                raise OSError(ctypes.get_errno(), "")
        say({"keyctl": [attempt(call, numbers[0], 0, ring, 0) for ring in (-1, -2, -3, -4, -5)],
             "add_key": attempt(call, numbers[1], b"user", b"x", b"y", 1, -3),
             "request_key": attempt(call, numbers[2], b"user", b"x", None, 0),
             "listed": len(open("/proc/keys").read()) if os.path.exists("/proc/keys") else 0})
        """,
    )

    assert ran.said == {"keyctl": ["EPERM"] * 5, "add_key": "EPERM", "request_key": "EPERM", "listed": 0}


def test_standard_input_is_empty_and_nothing_else_is_inherited(backend):
    reader, writer = os.pipe()
    os.set_inheritable(reader, True)
    try:
        ran = python(
            backend,
            """
            say({"in": sys.stdin.read(), "is": os.readlink("/proc/self/fd/0"),
                 "open": len(os.listdir("/proc/self/fd")) - 1, "session": os.getsid(0) == os.getpid()})
            """,
        )
    finally:
        os.close(reader)
        os.close(writer)

    assert ran.said == {"in": "", "is": "/dev/null", "open": 3, "session": True}


def test_the_environment_is_exactly_what_was_asked_for(backend, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "no")

    ran = run(backend, ("/usr/bin/env",), environment={"ONLY": "this", "PATH": "/usr/bin"})

    assert set(ran.lines) == {b"ONLY=this", b"PATH=/usr/bin"}


def test_the_machines_name_is_not_told(backend):
    assert python(backend, "say(socket.gethostname())").said == "sandbox"


def test_scratch_is_as_large_as_asked_and_gone_afterwards(backend):
    ran = python(
        backend,
        """
        def fill():
            with open("/scratch/cache", "wb") as file:
                for _ in range(64):
                    file.write(bytes(1 << 20))
        say(attempt(fill))
        """,
        scratch=8 << 20,
    )

    assert ran.said == "ENOSPC"


def test_packages_can_be_imported_from_a_folder_that_is_shown_for_it(backend, tmp_path):
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "helper.py").write_text("ANSWER = 42")

    ran = run(
        backend,
        (sys.executable, "-c", "import helper; print(helper.ANSWER, helper.__file__)"),
        packages=(tmp_path / "lib",),
    )

    assert ran.text == f"42 {tmp_path}/lib/helper.py"


def test_a_bind_that_is_not_there_is_named_and_nothing_runs(backend, tmp_path, out):
    with pytest.raises(UsageError, match=r"no such file or folder at .*missing"):
        run(backend, ("/bin/touch", "/inside/out/ran"), out, Bind(tmp_path / "missing", "/inside/data"))

    assert list(out.source.iterdir()) == []


def test_a_socket_is_never_shown(backend, tmp_path):
    here = Path.cwd()
    os.chdir(tmp_path)
    try:
        with socket.socket(socket.AF_UNIX) as agent:
            agent.bind("agent")
    finally:
        os.chdir(here)

    with pytest.raises(UsageError, match="neither a file nor a folder"):
        run(backend, ("/bin/true",), Bind(tmp_path / "agent", "/inside/agent"))


def test_no_second_name_is_given_to_a_file_of_another_bind_and_none_is_made_immutable(
    backend, data, out, tmp_path
):
    """Though all of them lie on one file system outside: what is left after the run is the run's own."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_text("x")

    ran = python(
        backend,
        """
        import fcntl
        set_flags, immutable = 0x40086602, (0x10).to_bytes(8, "little")
        capability = (0x02000001).to_bytes(4, "little") + bytes(16)
        with open("/inside/out/own", "w") as own:
            flags = attempt(fcntl.ioctl, own.fileno(), set_flags, immutable)
        say({"read-only": attempt(os.link, "/inside/data/rows.jsonl", "/inside/out/link"),
             "writable": attempt(os.link, "/inside/other/file", "/inside/out/link"),
             "immutable": flags in ("EPERM", "ENOTTY", "EOPNOTSUPP"),
             "capability": attempt(os.setxattr, "/inside/out/own", "security.capability", capability)})
        """,
        data,
        out,
        Bind(tmp_path / "other", "/inside/other", writable=True),
    )

    assert ran.said == {"read-only": "EXDEV", "writable": "EXDEV", "immutable": True, "capability": "EPERM"}


def test_a_file_has_no_more_bytes_than_asked_holes_counted(backend, out):
    ran = python(
        backend,
        """
        file = open("/inside/out/file", "wb")
        say([attempt(file.truncate, 1 << 20), attempt(file.truncate, (1 << 20) + 1)])
        """,
        out,
        file_size=1 << 20,
    )

    assert ran.said == ["possible", "EFBIG"]

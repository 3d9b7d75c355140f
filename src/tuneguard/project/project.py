"""The project in which a command works: its pipeline, policy and root, ledger and keys.

Each is found in the places of `docs/pipeline.md` and nowhere else: a pipeline, a tree, evidence or a registry
never decides whom to believe.
"""

from __future__ import annotations

import contextlib
import copy
import os
import stat
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from tuneguard import files
from tuneguard.display import shown
from tuneguard.errors import Refused, UsageError
from tuneguard.progress import SILENT, Reporter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tuneguard.ledger.store import SqliteStore
    from tuneguard.oci.open import RegistryOptions
    from tuneguard.oci.reference import Reference
    from tuneguard.signing.key import PublicKey
    from tuneguard.signing.signer import Signer
    from tuneguard.spec import Pipeline
    from tuneguard.trust.policy import Identity, Policy

PIPELINE = "tuneguard.yaml"
STATE = ".tuneguard"


def no_passphrase(name: str) -> bytes:
    """The default source of passphrases: there is none."""
    raise UsageError(f"the key {name} is encrypted and no passphrase was given")


@dataclass(frozen=True)
class Project:
    """A project and the files around it. Each property is looked up once, when it is first needed."""

    project_option: Path | None = None
    policy_option: Path | None = None
    root_option: Path | None = None
    evidence_option: Path | None = None
    ledger_option: str | None = None
    key_options: Mapping[str, str] = field(default_factory=dict)
    passphrase: Callable[[str], bytes] = no_passphrase
    reporter: Reporter = SILENT
    insecure_registries: tuple[str, ...] = ()
    registry_ca: Path | None = None

    @classmethod
    def open(
        cls,
        path: str | Path | None = None,
        *,
        policy: str | Path | None = None,
        root: str | Path | None = None,
        evidence: str | Path | None = None,
        ledger: str | None = None,
        keys: Mapping[str, str] | None = None,
        passphrase: Callable[[str], bytes] = no_passphrase,
        reporter: Reporter = SILENT,
        insecure_registries: tuple[str, ...] = (),
        registry_ca: str | Path | None = None,
    ) -> Project:
        """Name a project, and what is not where it usually is. Nothing is read before it is needed.

        Args:
            path: the project's folder, or its pipeline file; the current folder if None.
            policy: the signed policy; otherwise ``TUNEGUARD_POLICY`` or the one beside the root.
            root: the root's public key.
            evidence: the evidence folder, where it is not beside the tree.
            ledger: a file, or ``sqlite:FILE``.
            keys: the URI of the key for each role; under ``""`` one for every role.
            passphrase: asked, with the key's name, for the passphrase of an encrypted key.
            reporter: gets the progress lines.
            insecure_registries: hosts that are used without TLS.
            registry_ca: certificates, in PEM, of the registries' authorities.
        """

        def given(each: str | Path | None) -> Path | None:
            return None if each is None else Path(each)

        pipeline = given(path)
        if pipeline is not None and pipeline.is_dir():
            pipeline /= PIPELINE
        return cls(
            project_option=pipeline,
            policy_option=given(policy),
            root_option=given(root),
            evidence_option=given(evidence),
            ledger_option=ledger,
            key_options=keys or {},
            passphrase=passphrase,
            reporter=reporter,
            insecure_registries=insecure_registries,
            registry_ca=given(registry_ca),
        )

    @cached_property
    def now(self) -> datetime:
        """One reference time for the whole command."""
        return datetime.now(UTC)

    @property
    def pipeline_file(self) -> Path:
        """The pipeline file that was named, or the one in the current folder; no search upwards."""
        return self.project_option or Path(PIPELINE)

    @property
    def in_project(self) -> bool:
        """Whether there is a pipeline file here."""
        return self.project_option is not None or Path(PIPELINE).is_file()

    @cached_property
    def pipeline(self) -> Pipeline:
        """The pipeline, strictly read.

        Raises:
            UsageError: there is none, or it is wrong.
        """
        from tuneguard import spec

        if not self.pipeline_file.exists():
            raise UsageError(
                "no pipeline file",
                where=files.printable(str(self.pipeline_file)),
                help="go to the project's folder, name it with --project, or make one: tuneguard init",
            )
        return spec.load(self.pipeline_file)

    @property
    def folder(self) -> Path:
        """The project's folder."""
        return self.pipeline_file.resolve().parent

    @property
    def state(self) -> Path:
        """The project's own folder for what Tuneguard keeps there."""
        return self.folder / STATE

    def state_directory(self, name: str = "") -> Path:
        """The project's own folder or one of those in it, made where it is missing: ours alone.

        What is judged and what is swept away lies in there; so nobody else may be able to put another
        folder in its place, and no link may lead somewhere else.

        Raises:
            Refused: it is a link, belongs to another user, or others may write to it.
        """
        if name:
            self.state_directory()
        folder = self.state / name
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        status = folder.lstat()
        ours = stat.S_ISDIR(status.st_mode) and status.st_uid in (os.geteuid(), 0)
        if not ours or status.st_mode & 0o022:
            raise Refused(
                "must be a folder of this user's own, in which nobody else may write",
                where=shown(folder),
                help="find out who changed it, then remove it: what Tuneguard keeps there is made anew",
            )
        return folder

    @cached_property
    def policy(self) -> Policy:
        """The policy, after its signature by the root was verified over its exact bytes.

        Raises:
            UsageError: no policy, no bundle or no root key is found.
            Refused: the root did not sign these bytes, or the policy is expired.
        """
        return self._load_policy(loading=False)

    @cached_property
    def _policy_for_loading(self) -> Policy:
        return self._load_policy(loading=True)

    def _load_policy(self, *, loading: bool) -> Policy:
        from tuneguard.trust import root

        path = root.find_policy(self.policy_option)
        return root.load_policy(path, root.find_root(self.root_option), now=self.now, loading=loading)

    def for_loading(self) -> Project:
        """The same project, in which a policy counts that is expired and in its grace.

        For what loads a model that was promoted before, and makes no evidence. Raises as `policy` does.
        """
        policy = self._policy_for_loading
        found = copy.copy(self)
        vars(found)["policy"] = policy
        return found

    @cached_property
    def ledger(self) -> SqliteStore | None:
        """The ledger to write to: the project's or the one named; None outside any project."""
        from tuneguard.ledger.store import SqliteStore

        if self.ledger_file is None:
            return None
        if self.ledger_option is None:
            self.state_directory()
        return SqliteStore(self.ledger_file)

    @property
    def ledger_file(self) -> Path | None:
        """Where the ledger lies or will lie: the one that was named, or the project's."""
        if self.ledger_option is not None:
            return Path(self.ledger_option.removeprefix("sqlite:"))
        return self.state / "ledger.db" if self.in_project else None

    @property
    def registries(self) -> RegistryOptions:
        """The person's options for registries on servers."""
        from tuneguard.oci.open import RegistryOptions

        return RegistryOptions.chosen(
            insecure=self.insecure_registries, ca=self.registry_ca, reporter=self.reporter
        )

    @property
    def remarks(self) -> tuple[str, ...]:
        """The notes about this policy in every output."""
        profile = ("development policy: not for production",) if self.policy.development else ()
        return (*profile, *self.warnings)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What ends soon under the policy that was read; nothing where none was. Every output shows it."""
        from tuneguard.trust import review

        read = vars(self).get("policy") or vars(self).get("_policy_for_loading")
        return () if read is None else review.warnings(read, now=self.now)

    def expected_model(self, reference: str, model: str | None) -> str:
        """The model that is expected: `model`, or the policy's one model with the repository of `reference`.

        Raises:
            UsageError: the policy has no such model, or the reference names none.
        """
        from tuneguard.oci.reference import parse

        if model is not None:
            if model not in self.policy.models:
                raise UsageError(
                    f"the policy {self.policy.name} has no model {model}",
                    help="name one of " + ", ".join(self.policy.models),
                )
            return model
        target = parse(reference)
        found = None if target.kind == "layout" else self.policy.model_for(target.name)
        if found is None:
            raise UsageError(f"cannot determine which model {reference} is", help="name it: --model NAME")
        return found.name

    def check_repository(self, target: Reference, model: str) -> str:
        """The repository to which `model` is pushed; a layout may lie anywhere.

        Raises:
            Refused: `target` is another repository.
        """
        repository = self.policy.models[model].repository
        if target.kind != "layout" and target.name != repository:
            raise Refused(
                f"{model} belongs to {repository}, not to {target.name}",
                help="push to the policy's repository",
            )
        return repository

    def evidence_of(self, tree: Path) -> Path:
        """The evidence folder of a tree: the one named, or the one beside it."""
        from tuneguard.attest import evidence

        return evidence.folder_of(tree, self.evidence_option)

    def key_uri(self, role: str) -> str | None:
        """The key of a role: ``--key``, then the pipeline's ``keys``, then the development keys."""
        for name in (role, ""):
            if name in self.key_options:
                return self.key_options[name]
        if self.in_project:
            named = self.pipeline.key_uri(role)
            if named is not None:
                return named
            from tuneguard.trust import root

            default = root.home() / "keys" / self.pipeline.name / f"{role}.key"
            if default.is_file():
                return os.fspath(default)
        return None

    def signer(self, role: str) -> Signer:
        """Open a role's key. One process signs with one role (principle 12).

        Raises:
            UsageError: no key is named for the role.
            Refused: the policy is expired, or does not believe the key now.
        """
        from tuneguard.signing.signer import BundleSigner, open_signer

        uri = self.key_uri(role)
        if uri is None:
            raise UsageError(
                f"no key for the role {role}", help=f"name it: --key {role}=URI, or keys.{role} in {PIPELINE}"
            )
        opened = open_signer(uri, self.passphrase)
        # A signer apart has no role: it asks at each request what its key may sign. A keyless one has no key.
        if role and not isinstance(opened, BundleSigner):
            self.check_key(opened.public_key, uri)
        return opened

    def check_key(self, key: PublicKey, uri: str) -> None:
        """A key that the policy at hand names makes evidence only while it is believed (TRUST.md rule 28).

        Raises:
            Refused: it is revoked, its time is over or has not come; or the policy is expired.
        """
        from tuneguard.signing.signer import for_people

        for identity, why in self._ended:
            if identity.key == key:
                raise Refused(
                    f"the policy names this key as {identity.name}, who {why}",
                    where=for_people(uri),
                    help="sign with a key that is believed now, or have the policy's owner list one",
                )

    @property
    def some_key_has_ended(self) -> bool:
        """Whether the policy at hand names a key that it does not believe now."""
        return bool(self._ended)

    @cached_property
    def _ended(self) -> tuple[tuple[Identity, str], ...]:
        """Whom the policy at hand does not believe now, and why; nobody where there is no policy."""
        from tuneguard.trust.belief import not_believed

        try:
            identities = self.policy.identities.values()
        except UsageError:  # what is signed here is judged by somebody else's policy
            return ()
        judged = ((each, not_believed(each, self.now)) for each in identities)
        return tuple((each, why) for each, why in judged if why is not None)

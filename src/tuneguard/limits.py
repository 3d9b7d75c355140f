"""Every bound on hostile input, with its unit and the reason for its size. One page, no others.

A bound that is reached refuses or reports "could not look"; nothing is ever cut short in silence.
"""

from __future__ import annotations

from datetime import timedelta

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

# Trees, which `artifact` reads
TREE_DEPTH = 256
"""Directories below the root. Deeper than any framework writes; bounds the open descriptors."""
PATH_BYTES = 4096
"""Bytes of a path below the root: Linux PATH_MAX, which the next tool would fail on."""
TREE_FILES = 10_000_000
"""Files in one tree."""
TREE_FAULTS = 100
"""Forbidden entries listed before the walk stops looking for more."""
SNAPSHOT_COPY_BYTES = 64 * GIB
"""Bytes of an input that a run copies where the file system cannot share them. What is larger is bound
read-only in place, hashed again before anything is signed, and recorded as the weaker isolation control."""
HASH_BUFFER = MIB
"""Bytes read at once while hashing: stays in the cache, and makes turns between threads rare."""
MANIFEST_BYTES = 256 * MIB
"""Bytes of a checksums.sha256 or a manifest.json: two million files."""

# What `stage` brings in
STAGED_ENTRIES = 1_000_000
"""Files and folders of a source, links followed. Links can show one folder many times."""
STAGED_LINKS = 40
"""Links that lead one to the other, as the kernel follows them."""
STAGED_UNPACKED = 256 * MIB
"""Bytes that any archive may unpack to."""
STAGED_RATIO = 200
"""Bytes that a larger archive may unpack to for each of its own: JSON Lines with much in common reach 50,
deflate's most is 1,032."""
TAR_HEADER_BYTES = MIB
"""Bytes of a tar archive's extended header or long name, which hold a path or two."""

# Records (YAML and JSON that people or untrusted programs wrote)
RECORD_BYTES = 16 * MIB
"""Bytes of one JSON or YAML document."""
RECORD_DEPTH = 64
"""Nesting of a document."""
RECORD_NODES = 1_000_000
"""Values in a YAML document."""
JSON_VALUES = 8_000_000
"""Pairs of brackets and commas of a JSON document: about 500 MB of values at worst; tokenizers reach two
million."""
PROBLEMS = 50
"""Problems of one file that are reported together."""

# Pipelines
DATA_SETS = 64
"""Training data sets of one run: each is a mount of the sandbox."""

SAVED_ENTRIES = 1_000
"""Files of data sets that ``save_to_disk`` left and that are mounted one by one; the folders of further ones
are read-only."""

GIT_SMALL = 4 * KIB
"""Bytes of a small file of a git repository, such as HEAD."""
GIT_ANSWER = 64 * MIB
"""Bytes of what git lists of one commit: half a million files."""
GIT_SECONDS = 20
"""Seconds that git has to list it."""

GENERATIONS = 64
"""Trees that `trace` follows back from a checkpoint to those that it began from."""

# Evidence
EVIDENCE_FILES = 1_000
"""Files in one evidence folder."""
EVIDENCE_BYTES = 64 * MIB
"""Bytes of all evidence files of one subject together."""
BUNDLE_BYTES = 32 * MIB
"""Bytes of one bundle: an OMS signature over 100,000 files takes about 20 MB."""
RELIED_ON = 1_000
"""Identities that a verdict or a provenance names: one for each piece of evidence that is ever read."""
CERTIFICATES = 16
"""Certificates in one bundle's chain."""
AUTHORITIES_BYTES = 4 * MIB
"""Bytes of a file of authorities: a system's whole store has 220 KiB, a trusted root of Sigstore's 10."""
ROW_HASHES_BYTES = GIB
"""Bytes of one file of row hashes: 33 million hashes of 32 bytes."""

# Keys
KEY_BYTES = 64 * KIB
"""Bytes of a key file."""
KEY_ROUNDS = 10_000_000
"""Rounds of PBKDF2 that an encrypted key may cost: some seconds. OWASP asks for 600,000."""
KEY_SCRYPT = 1 << 25
"""N·r·p of scrypt that an encrypted key may cost: at most 4 GiB of memory. Ours cost 655,360."""
PASSPHRASE_BYTES = 4 * KIB
"""Bytes of a passphrase."""

# Row hashes (data sets)
ROW_BYTES = 16 * MIB
"""Bytes of one row of JSONL or CSV."""
DATASET_ROWS = 10_000_000
"""Rows of one data set: their hashes, at most three a row, take up to 1 GB."""

# Looking for evaluation rows in code and configuration
SEARCH_BYTES = 32 * MIB
"""Bytes of code and configuration together that are looked through, the smallest files first: a minute."""
SEARCH_YAML_BYTES = MIB
"""Bytes of a YAML document that is read for rows. Larger ones are looked through as text alone."""
SEARCH_DEPTH = 32
"""Nesting of an object that is looked for."""
SEARCH_STRINGS = 3
"""Strings in strings that are looked into: JSON in a Python string, in a notebook's JSON."""
SEARCH_TRIES = 6
"""Characters read for each one of a text, in what begins like an object and is none."""
SEARCH_FIELDS = 4096
"""Fields of a line that are looked at one by one."""

# Registry
OCI_MANIFEST_BYTES = 4 * MIB
"""Bytes of an OCI manifest: what the distribution specification obliges a registry to accept."""
OCI_INDEX_BYTES = 16 * MIB
"""Bytes of an image layout's index.json: about 50,000 manifests."""
OCI_SEARCH_BYTES = GIB
"""Bytes of the manifests that are read to find the referrers of one: a million pieces of evidence."""
REGISTRY_REDIRECTS = 5
"""Redirects of one read: registries need one, to their storage."""
REGISTRY_TOKEN_BYTES = 64 * KIB
"""Bytes of a token server's or a credential helper's answer."""
REGISTRY_ERROR_BYTES = 64 * KIB
"""Bytes of an answer that nobody needs, read so that its connection can be used again."""
REGISTRY_PAGES = 100
"""Pages of one list of referrers."""
REGISTRY_REFERRERS = 20_000
"""Entries of one list of referrers: each costs a request. Ten years of daily evidence are 3,650."""
REGISTRY_PROGRESS_BYTES = 64 * KIB
"""Bytes of a blob that must come or go before a broken connection is no failure in a row."""

# Scanner
PICKLE_OPCODES = 25_000_000
"""Opcodes interpreted in one pickle: ten seconds. An optimizer state of 90,000 tensors has 2.7 million."""
PICKLE_MEMO = 8_000_000
"""Entries of a pickle's memo. An optimizer state of 90,000 tensors has 700,000."""
PICKLE_STACK = 2_000_000
"""Values on a pickle's stack, and marks. Picklers write lists and dictionaries 1,000 items at a time."""
PICKLE_GRAPH = 10_000_000
"""Tuples, containers and objects that a pickle makes: what bounds the memory of the abstract machine."""
PICKLE_NAMES = 10_000
"""Different names that a pickle imports."""
PICKLE_STACKED = 1_000
"""Pickles one behind the other in one file."""
PICKLE_STRING = 64 * MIB
"""Bytes of a value inside a pickle that is itself looked into."""
ZIP_MEMBERS = 1_000_000
"""Members of a zip archive. An optimizer state of 90,000 tensors has 270,000."""
ZIP_ARCHIVES = 1_000_000
"""Archives one behind the other in one file of a distributed checkpoint: one for each tensor."""
ZIP_DIRECTORY = 512 * MIB
"""Bytes of a zip archive's directory."""
ZIP_INFLATED = 256 * MIB
"""Bytes that one compressed member may unpack to; no more is ever unpacked."""
ZIP_INFLATED_IN_ALL = 2 * GIB
"""Bytes that an archive's compressed members may unpack to together."""
SAFETENSORS_HEADER = 100 * 1000 * 1000
"""Bytes of a safetensors header: the reference implementation's own bound."""
SCAN_JSON_BYTES = 128 * MIB
"""Bytes of a JSON file that the scanner reads whole. The largest tokenizers have 35 MB."""
SCAN_JSON_VALUES = 3_000_000
"""Brackets and commas in a JSON file: what bounds the memory that its values take, and the work of asking
after each text. Tokenizers reach two million."""
SCAN_JSON_OBJECTS = 500_000
"""Braces in a JSON file: each object goes to every rule, half a minute for so many on a busy machine."""
SCAN_JSON_LINES = 100
"""Keys of a JSON file whose lines are sought: each search may go through all of its text."""
SCAN_TEMPLATES = 100
"""Chat templates in one JSON file; a tokenizer has up to ten."""
SCAN_PICTURE_BYTES = 64 * MIB
"""Bytes of a picture beside a model."""
SCAN_PICTURE_BLOCKS = 500_000
"""Blocks of a picture: seconds of walking. A GIF of 64 MiB has 263,000 full ones."""
SCAN_TOKENIZER_BYTES = 32 * MIB
"""Bytes of a SentencePiece model. The largest have 5 MB."""
SCAN_SETTINGS_BYTES = MIB
"""Bytes of a YAML or TOML document: its parser is in Python, five seconds for so many."""
SCAN_SETTINGS_VALUES = 200_000
"""Values of a YAML document, those that an alias repeats counted each time."""
SCAN_EVENTS_BYTES = 256 * MIB
"""Bytes of a file of TensorBoard or W&B: half a minute of checksums."""
SCAN_EVENTS = 2_000_000
"""Records of such a file: a scalar each second makes 600,000 in a week."""
NUMPY_HEADER = 64 * KIB
"""Bytes of the header of a NumPy array. NumPy itself reads 10,000 of a file that it does not trust."""
ONNX_FIELDS = 5_000_000
"""Fields of an ONNX model: half a minute of walking. A large language model in one graph has 200,000."""
ONNX_DEPTH = 16
"""Graphs of an ONNX model in the attributes of each other's nodes."""
ONNX_NAME = 64 * KIB
"""Bytes of the name of an operator, or of a file that numbers lie in."""
ONNX_HOPS = 1_000_000
"""Fields that are walked to know whether any file is an ONNX model as well: three seconds. More are a yes."""
GGUF_ENTRIES = 100_000
"""Settings, and tensors, of a GGUF file. The largest models have some thousand tensors."""
GGUF_ITEMS = 5_000_000
"""Texts in the lists of a GGUF file: five seconds of walking. A tokenizer has up to a million."""
GGUF_NAME = 64 * KIB
"""Bytes of the name of a setting or tensor."""
GGUF_ALIGNMENT = 64 * KIB
"""Bytes on which tensors are aligned: 32 where a file does not say."""
TEMPLATE_CHARACTERS = 500_000
"""Characters of a chat template. The longest published ones have 20,000."""
TEMPLATE_NODES = 20_000
"""Expressions and statements of a chat template. The longest published ones have 1,400."""
TEMPLATE_DEPTH = 60
"""Statements of a chat template inside each other. The deepest published ones have 13."""
TEMPLATE_SAME = 10
"""Macros of a chat template with one name."""
TEMPLATE_CONDITIONS = 100
"""Conditions that are kept in mind at one place of a chat template."""
TEMPLATE_NUMBER = 1_000_000
"""The largest number in a chat template, and product of such numbers."""
TEMPLATE_TURNS = 100_000
"""Turns that the loops inside of each other take by a chat template's own constants."""
NESTING = 8
"""Archives inside archives."""
NESTED_BYTES = 256 * MIB
"""Bytes of an archive inside another one, which is taken into memory."""
NESTED_BYTES_IN_ALL = 4 * GIB
"""Bytes of all that is looked at inside of one file's archives: ends archives that unpack to archives."""
GUESS_COST = 256 * KIB
"""Bytes that each look at a mere guess counts for, at least, in the limit above."""
SCAN_FINDINGS = 20
"""Findings of one rule in one file that are listed; the rest are counted."""
SCAN_FINDINGS_COUNTED = 10_000
"""Findings in one file, after which nobody needs more of them."""

# Engines
STEP_LINE_BYTES = 64 * KIB
"""Bytes of one line that a step prints while it runs."""
LINES_KEPT = 10_000
"""Lines that are kept for a result in JSON; a training can print any number, and its log has them all."""

# Reports
REPORT_ROWS = 200
"""Rows of one table or list of a report in HTML; the rest is counted, and the JSON result lists all."""
REPORT_TEXT = 2_000
"""Characters of one value in a report; how many were left out is shown."""

# Ledger
LEDGER_ENTRY_BYTES = 64 * KIB
"""Bytes of one ledger entry."""
LEDGER_ENTRIES = 10_000_000
"""Entries of one ledger: reading them all takes some minutes."""
NOTE_BYTES = 256 * KIB
"""Bytes of a signed checkpoint: enough for sixteen witnesses with large signatures."""

# Sandbox
OUTPUT_ENTRIES = 1_000_000
"""Files and folders that a run may leave: ten seconds to look at. Distributed checkpoints have 10,000."""
OUTPUT_LINK_TEXT = 64 * MIB
"""Characters that all links in a run's output say together; a link after that leads nowhere."""
OUTPUT_LINK_STEPS = 10_000_000
"""Names that are looked up to follow all links in a run's output: ten seconds."""
PATTERNS = 64
"""Patterns of one list: each is compared with every path."""
PATTERN_STEPS = 200_000_000
"""Names and characters compared for one list of patterns: some 30 seconds."""
OUTPUT_CHANGES = 1_000
"""Changes to a run's output that its provenance names one by one; of all together it has the numbers."""
RETRIES = 10
"""Times that a training which was ended from outside goes on."""
OUTPUT_BLOCK = MIB
"""Bytes of a sandboxed command's output that are read at once, and that its pipe holds: a flood of output
is then moved in blocks."""
OUTPUT_LINE = 16 * KIB
"""Bytes of one line of a sandboxed command's output; a longer one comes in pieces."""
LOG_HEAD = 8 * MIB
"""Bytes kept of the beginning of a training's output: its versions, its settings and its first error."""
LOG_TAIL = 8 * MIB
"""Bytes kept of its end. A day of a progress bar has about 10 MB."""
SHOWN_LINES = 100
"""Lines of a training's output that are shown in a second, on average: more than anybody reads."""
SHOWN_AT_ONCE = 2_000
"""Lines of it that are shown at once after a pause: a long traceback, a printed model."""
SHOWN_CHARACTERS = 400
"""Bytes of a line of it that are shown."""
METRICS_LINE = 8 * KIB
"""Bytes of one line of a training's metrics: 32 numbers under long names have 3 KiB."""
METRICS_READ = 64 * KIB
"""Bytes of its metrics, and of each event file, that are read at one look, once a second."""
METRICS_LAST_LOOKS = 64
"""Looks after its end, for what came faster than it was read."""
METRICS_BYTES = 256 * MIB
"""Bytes of its metrics that are read in all; and of its event files."""
METRICS_VALUES = 32
"""Numbers of one line: DPO and GRPO log some 25."""
METRICS_NAMES = 100
"""Different names in one run."""
METRICS_LINES = 10
"""Lines that are kept in a second, on average: a week of one a second has 600,000."""
METRICS_AT_ONCE = 1_000
"""Lines that are kept at once after a pause."""
METRICS_KEPT = 64 * MIB
"""Bytes of the metrics that are kept of one run."""
METRICS_NEWEST = 64 * KIB
"""Bytes of them that are read to say how far a run is."""
MLFLOW_BATCH = 1_000
"""Numbers of one call: what MLflow takes at most."""
MLFLOW_ANSWER = MIB
"""Bytes of an MLflow server's answer."""
EVENT_FILES = 16
"""TensorBoard event files of one run: a training writes one or two."""
EVENT_DEPTH = 4
"""Folders below the checkpoint's in which they are looked for."""
EVENT_ENTRIES = 2_000
"""Files and folders that are looked at for them at one look."""
LAUNCHER_OUTPUT = 16 * KIB
"""Bytes kept of what ``unshare`` or ``bwrap`` prints when it fails."""
CDI_FILES = 100
"""CDI files of one machine: one for each kind of device, usually."""
CDI_BYTES = 4 * MIB
"""Bytes of one CDI file: 300 KiB for a machine of eight GPUs, each in seven parts."""
DRIVER_BYTES = 64 * KIB
"""Bytes of a file in which the driver describes a GPU: under 1 KiB."""

# Evaluation
EVALUATION_FILE = 256 * MIB
"""Bytes of one suite's file in an evaluation set."""
EVALUATION_ROWS = 1_000_000
"""Rows of one suite."""
EVALUATION_TEXT = 64 * KIB
"""Characters of a prompt, a choice or an answer."""
EVALUATION_CHOICES = 100
"""Choices of one question."""
EVALUATION_RESULT = 256 * MIB
"""Bytes of what comes back from the sandbox."""
EVALUATION_SHOWN = 1_000
"""Files of a checkpoint that its evaluation is shown: each is a mount. Sharded models have some 200."""
EVALUATION_FAULT = 1_000
"""Characters of the sentence in which the sandbox states why it could not measure."""

# Releases
CLOCK_BACK = timedelta(minutes=10)
"""How far a machine's clock may stand behind the latest release that it believed."""
RELEASE_MEMORY = 4 * KIB
"""Bytes of what a machine remembers of one tag."""

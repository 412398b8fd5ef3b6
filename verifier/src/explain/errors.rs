//! **Duty.** The errors of commands in plain words. **Does not know** when they arise; `error.rs` does, and a test holds
//! the two together.

use super::{Explanation, row};

const YOU: &str = "You, at the keyboard.";
const NODE: &str = "Whoever runs the node.";
const SIGNER: &str = "Whoever signed the statement.";
const US: &str = "The makers of weighbridge.";

const PATH: &str = "Check the path, and that this account may use it.";
const HELP: &str = "Read the command’s --help.";
const EXPORT: &str = "Have the node exported again.";
const KEEP: &str = "Assemble without a proof: --declared none.";

pub(super) const ERRORS: &[Explanation] = &[
    row("command-line", "What was typed.", "A word or a flag is missing, unknown or in the wrong form.", YOU, HELP),
    row(
        "require-not-met",
        "The verdict that --require asks for.",
        "The bundle is genuine, but its report says another verdict.",
        YOU,
        "Decide by the verdict that is printed.",
    ),
    row(
        "require-cumulative",
        "The verdict that --require asks for.",
        "The threshold counts all compute of a model, and this bundle weighs one run.",
        YOU,
        "If one run is what you mean, write PROFILE=below-this-run.",
    ),
    row(
        "profile-refused",
        "A threshold profile of your own.",
        "It is not of the schema, is too small for a law, or has the name of another one.",
        YOU,
        "Mend the file by docs/schemas, or take another id.",
    ),
    row(
        "declarations-refused",
        "The provider’s statement that the bundle is to hold.",
        "It is not of the schema, or a figure in it has no stated basis.",
        YOU,
        "Mend the file by docs/schemas.",
    ),
    row(
        "level-not-possible",
        "How much the bundle is to show.",
        "The level and the statement contradict each other, or no step of two figures fits the total.",
        YOU,
        "Leave out --declared, or take another --level.",
    ),
    row(
        "file-unreadable",
        "A file or folder that was named.",
        "It is not there, is a folder, or may not be read.",
        YOU,
        PATH,
    ),
    row(
        "file-too-large",
        "The size of a file.",
        "It is larger than such a file may be, so it was not read.",
        YOU,
        "Check that this is the file you meant.",
    ),
    row(
        "output-unwritable",
        "A file that was to be written.",
        "Its folder is missing, full or closed to you; nothing counts as answered.",
        YOU,
        "Check that the folder exists, is writable and has room.",
    ),
    row(
        "clock-before-1970",
        "This machine’s clock.",
        "It stands before 1970.",
        YOU,
        "Set the clock, or say the instant with --at.",
    ),
    row(
        "profile-unknown",
        "The name of a threshold profile.",
        "No built-in profile has it.",
        YOU,
        "Take one from the list that the error prints.",
    ),
    row(
        "bounds-not-allowed",
        "The bounds of a statement to prove.",
        "They are the wrong way round or no threshold.",
        YOU,
        "Use the names of two profiles, the smaller one first.",
    ),
    row(
        "trust-roots-empty",
        "The folder of --trust-roots.",
        "It is no folder or holds no *.anchor.json file.",
        YOU,
        "Name a folder with anchor files, or leave the flag out.",
    ),
    row(
        "trust-anchor-refused",
        "One file of the folder of --trust-roots.",
        "It is no acceptable anchor, so none was used.",
        YOU,
        "Mend the file or take it out of the folder.",
    ),
    row(
        "container-malformed",
        "A bundle or node export.",
        "Its bytes are damaged, or it is another kind of file.",
        YOU,
        "Check that this is the file you meant, or ask for a fresh copy.",
    ),
    row("member-malformed", "A part of a bundle or export.", "It is missing or damaged.", NODE, EXPORT),
    row("ledger-broken", "The log in a node export.", "It does not hold together.", NODE, EXPORT),
    row(
        "exports-of-different-runs",
        "The exports that were given.",
        "They belong to different runs.",
        YOU,
        "Give the exports of one run only.",
    ),
    row("node-given-twice", "The exports that were given.", "One node was given twice.", YOU, "Give each node once."),
    row(
        "node-not-in-roster",
        "A node export.",
        "The node is not part of the announced run.",
        YOU,
        "Check that the export is of this run.",
    ),
    row("witness-missing", "The private readings that a proof needs.", "One node’s are not there.", YOU, KEEP),
    row(
        "export-missing",
        "The exports that were given.",
        "One node of the run has none.",
        YOU,
        "Give one export per node of the run.",
    ),
    row(
        "witness-without-export",
        "The private readings that were given.",
        "They belong to a node whose export was not given.",
        YOU,
        "Add that node’s export, or leave its witness out.",
    ),
    row(
        "witness-differs",
        "The private readings against the log.",
        "They are not the readings that the log is committed to.",
        NODE,
        "Use the witness that was exported together with this log.",
    ),
    row(
        "reading-absent",
        "The amounts that the node declares.",
        "An interval declares none, and absent is not zero.",
        NODE,
        KEEP,
    ),
    row(
        "no-default-statement",
        "The declared total against the built-in thresholds.",
        "It is above all of them, so there is no smallest one to prove.",
        YOU,
        "Name a statement, such as --declared gt=PROFILE.",
    ),
    row(
        "not-proven",
        "The statement that was to be proven.",
        "It is not true of the declared total, or the prover failed.",
        YOU,
        KEEP,
    ),
    row(
        "not-assembled",
        "The parts of a bundle.",
        "They do not make a bundle that verifies.",
        YOU,
        "Look at the failed checks that are listed.",
    ),
    row(
        "checkpoint-refused",
        "The files of a checkpoint.",
        "They are damaged, changing or no safetensors files.",
        YOU,
        "Commit to the finished files of one checkpoint.",
    ),
    row(
        "page-not-written",
        "The report’s page.",
        "It could not be made.",
        US,
        "Report it; the report is there with --format json.",
    ),
    row(
        "key-refused",
        "A key file.",
        "It is not one Ed25519 or ECDSA P-256 key in the expected PEM form.",
        YOU,
        "Make one with weighbridge statement keygen.",
    ),
    row(
        "no-randomness",
        "The system’s random source.",
        "It gave nothing.",
        YOU,
        "Try again on a system whose random source works.",
    ),
    row(
        "statement-signature",
        "The signatures of a statement.",
        "None of them is by the key that you named.",
        SIGNER,
        "Ask the signer which key is theirs, over another way than the one the file came.",
    ),
    row(
        "statement-differs",
        "A statement against the bundle.",
        "The signature is genuine, but the bundle says something else.",
        SIGNER,
        "Ask for the bundle that was signed for.",
    ),
    row(
        "statement-malformed",
        "The form of a statement.",
        "It is damaged, or another kind of statement.",
        SIGNER,
        "Ask for a fresh copy.",
    ),
    row(
        "not-accepted",
        "The bundle behind a statement.",
        "It was not accepted, so nothing is signed.",
        YOU,
        "Look at every failed check: weighbridge explain BUNDLE.",
    ),
    row(
        "nothing-to-explain",
        "What explain was given.",
        "It is neither a bundle, a report, an answer of verify nor a code.",
        YOU,
        "List all codes: weighbridge explain codes.",
    ),
    row("json-not-written", "An answer as JSON.", "It could not be written.", US, "Report it with the output."),
];

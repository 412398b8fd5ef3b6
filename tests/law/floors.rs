//! **Duty.** Arrows point down. Direct edges are compared with `floors.txt`, so that a new one shows in review as one
//! added line; what a crate must never reach is looked for in its whole closure. **Knows** `cargo metadata`.
//! **Does not know** the code. **Spec.** ARCHITECTURE.md (the floors), HOUSE §2.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, PackageId};

use crate::tree;

const GOLDEN: &str = "tests/law/floors.txt";
/// Closures are those of the platform that the node service runs on.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";

const NETWORK: &[&str] = &[
    "async-std",
    "axum",
    "curl",
    "hyper",
    "isahc",
    "mio",
    "native-tls",
    "openssl",
    "quinn",
    "reqwest",
    "rustls",
    "smol",
    "socket2",
    "tokio",
    "tonic",
    "ureq",
];
/// Runtimes and what belongs to them.
const ASYNC: &[&str] =
    &["async-trait", "futures-core", "futures-executor", "futures-util", "tokio", "tokio-util", "tower"];
/// Foreign code, or ways to it.
const FFI: &[&str] = &["blake3", "libc", "libloading", "linux-raw-sys", "nvml-wrapper", "nvml-wrapper-sys", "ring"];
const CLOSURES: &str = "tests/law/closures.txt";
const SENSITIVE: [(&str, &[&str]); 4] = [("network", NETWORK), ("async", ASYNC), ("ffi", FFI), ("proofs", PROOFS)];
const DRIVERS: &[&str] = &["libloading", "nvml-wrapper", "nvml-wrapper-sys"];
const PROOFS: &[&str] = &["plonky2", "plonky2_field", "starky", "weighbridge-circuits", "weighbridge-commitments"];
const CIRCUIT_BUILDER: &[&str] = &["weighbridge-circuits"];
const JUDGES: &[&str] =
    &["dcap-qvl", "tdx-quote", "weighbridge-appraisal", "weighbridge-attest", "weighbridge-verifier"];
const VERDICTS: &[&str] = &["weighbridge-appraisal", "weighbridge-verifier"];
const NODE: &[&str] = &["redb", "weighbridge-attest-collect", "weighbridge-daemon"];
const TEST_TREE: &[&str] =
    &["weighbridge-tests", "weighbridge-tests-demo", "weighbridge-tests-drivers", "weighbridge-tests-simulator"];

/// One crate: which of ours it may import directly, what its closure must never hold, and why.
struct Floor {
    name: &'static str,
    ours: &'static [&'static str],
    never: &'static [&'static [&'static str]],
    why: &'static str,
}

const TYPES: &str = "weighbridge-attest-types";

const FLOORS: &[Floor] = &[
    Floor {
        name: TYPES,
        ours: &[],
        never: &[NETWORK, DRIVERS, PROOFS, JUDGES, NODE, TEST_TREE, &["ring", "x509-parser"]],
        why: "everyone stands on the ground floor",
    },
    Floor {
        name: "weighbridge-attest",
        ours: &[TYPES],
        never: &[NETWORK, DRIVERS, PROOFS, NODE, TEST_TREE],
        why: "same bytes, same `now`, same verdict",
    },
    Floor {
        name: "weighbridge-attest-collect",
        ours: &[TYPES],
        never: &[NETWORK, PROOFS, JUDGES, &["weighbridge-daemon"], TEST_TREE],
        why: "an Attester cannot grade itself",
    },
    Floor {
        name: "weighbridge-commitments",
        ours: &[TYPES],
        never: &[NETWORK, DRIVERS, CIRCUIT_BUILDER, JUDGES, NODE, TEST_TREE],
        why: "a node commits without a prover",
    },
    Floor {
        name: "weighbridge-audit",
        ours: &[TYPES, "weighbridge-commitments"],
        never: &[NETWORK, DRIVERS, CIRCUIT_BUILDER, JUDGES, NODE, TEST_TREE],
        why: "what a statement means is said before anything is proven",
    },
    Floor {
        name: "weighbridge-ledger",
        ours: &[TYPES, "weighbridge-commitments"],
        never: &[NETWORK, DRIVERS, CIRCUIT_BUILDER, JUDGES, NODE, TEST_TREE],
        why: "a chain can be checked anywhere",
    },
    Floor {
        name: "weighbridge-circuits",
        ours: &[TYPES, "weighbridge-commitments", "weighbridge-audit"],
        never: &[NETWORK, DRIVERS, JUDGES, NODE, TEST_TREE],
        why: "a circuit knows numbers, not TEEs",
    },
    Floor {
        name: "weighbridge-appraisal",
        ours: &[
            TYPES,
            "weighbridge-attest",
            "weighbridge-ledger",
            "weighbridge-commitments",
            "weighbridge-audit",
            "weighbridge-circuits",
        ],
        never: &[NETWORK, DRIVERS, NODE, TEST_TREE],
        why: "offline is a compiled fact",
    },
    Floor {
        name: "weighbridge-endorsements",
        ours: &[TYPES, "weighbridge-attest"],
        never: &[NETWORK, DRIVERS, PROOFS, VERDICTS, NODE, TEST_TREE],
        why: "a store keeps what vendors say, and neither fetches nor judges it",
    },
    Floor {
        name: "weighbridge-fetch",
        ours: &[TYPES, "weighbridge-attest", "weighbridge-endorsements"],
        never: &[DRIVERS, PROOFS, VERDICTS, NODE, TEST_TREE],
        why: "whoever reaches the network has no say in a verdict",
    },
    Floor {
        name: "weighbridge-daemon-api",
        ours: &[TYPES],
        never: &[NETWORK, DRIVERS, PROOFS, JUDGES, NODE, TEST_TREE],
        why: "clients never link the server",
    },
    Floor {
        name: "weighbridge-daemon",
        ours: &[
            TYPES,
            "weighbridge-attest-collect",
            "weighbridge-ledger",
            "weighbridge-commitments",
            "weighbridge-audit",
            "weighbridge-daemon-api",
        ],
        never: &[CIRCUIT_BUILDER, JUDGES, TEST_TREE],
        why: "a node neither judges nor proves, and its measured image stays small",
    },
    Floor {
        name: "weighbridge-verifier",
        ours: &[
            TYPES,
            "weighbridge-attest",
            "weighbridge-ledger",
            "weighbridge-commitments",
            "weighbridge-audit",
            "weighbridge-circuits",
            "weighbridge-appraisal",
            "weighbridge-endorsements",
        ],
        never: &[NETWORK, DRIVERS, NODE, TEST_TREE, &["weighbridge-fetch"]],
        why: "a laptop needs no driver and no network to verify",
    },
    Floor {
        name: "weighbridge-tests-simulator",
        ours: &[TYPES, "weighbridge-attest-collect"],
        never: &[NETWORK, PROOFS, JUDGES, &["weighbridge-daemon", "weighbridge-tests", "weighbridge-tests-demo"]],
        why: "a mistake shared with the Verifier would look like agreement",
    },
    Floor {
        name: "weighbridge-tests-drivers",
        ours: &[TYPES, "weighbridge-tests-simulator"],
        never: &[NETWORK, PROOFS, JUDGES, &["weighbridge-daemon", "weighbridge-tests", "weighbridge-tests-demo"]],
        why: "the shipped program loads it as it would a vendor's library",
    },
];

/// Crates of the top floor: they may import everything, and nothing of ours imports them.
const TOP: [&str; 2] = ["weighbridge-tests", "weighbridge-tests-demo"];

/// The ground floor's own dependencies: a codec, a hash, error texts.
const GROUND: [&str; 5] = ["hex", "serde", "serde_json", "sha2", "thiserror"];

#[test]
fn direct_edges_are_the_written_ones() {
    let found = edges(&metadata());
    let path = tree::root().join(GOLDEN);
    if tree::blessing() {
        fs::write(&path, &found).expect("writable golden file");
        return;
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    let (found, written): (BTreeSet<&str>, BTreeSet<&str>) = (found.lines().collect(), written.lines().collect());
    let mut breaches: Vec<String> = Vec::new();
    breaches.extend(found.difference(&written).map(|edge| format!("new:  {edge}")));
    breaches.extend(written.difference(&found).map(|edge| format!("gone: {edge}")));
    let rule = "tests/law/floors.txt: an edge changed. If it should: `just bless`, and a decision note for a new one";
    tree::hold(rule, &breaches);
}

/// HOUSE §2: of what reaches the network, an asynchronous runtime, a driver or the proof system the whole closure is
/// written down, so that a new way there shows in review even where the floors would allow it.
#[test]
fn sensitive_closures_are_the_written_ones() {
    let metadata = metadata();
    let graph = Graph::new(&metadata);
    let found = closures(&graph);
    let path = tree::root().join(CLOSURES);
    if tree::blessing() {
        fs::write(&path, &found).expect("writable golden file");
        return;
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    let (found, written): (BTreeSet<&str>, BTreeSet<&str>) = (found.lines().collect(), written.lines().collect());
    let mut breaches: Vec<String> = Vec::new();
    breaches.extend(found.difference(&written).map(|line| format!("new:  {line}")));
    breaches.extend(written.difference(&found).map(|line| format!("gone: {line}")));
    tree::hold("tests/law/closures.txt: a closure changed. If it should: `just bless`, and say why", &breaches);
}

fn closures(graph: &Graph<'_>) -> String {
    let mut text =
        "# What our crates reach of network, async, FFI and proofs. Written by `just bless`, compared by floors.rs.\n"
            .to_owned();
    for floor in FLOORS {
        let closure = graph.closure(floor.name);
        for (kind, sensitive) in SENSITIVE {
            let reached: Vec<&str> = sensitive.iter().copied().filter(|name| closure.contains_key(name)).collect();
            let reached = if reached.is_empty() { "nothing".to_owned() } else { reached.join(" ") };
            text.push_str(&format!("{} {kind}: {reached}\n", floor.name));
        }
    }
    text
}

#[test]
fn no_crate_reaches_above_its_floor() {
    let metadata = metadata();
    let graph = Graph::new(&metadata);
    let breaches: Vec<String> = FLOORS.iter().flat_map(|floor| breaches(&graph, floor)).collect();
    tree::hold("arrows point down (ARCHITECTURE.md, the floors)", &breaches);
}

fn breaches(graph: &Graph<'_>, floor: &Floor) -> Vec<String> {
    let mut breaches = Vec::new();
    for other in graph.normal_edges_to_ours(floor.name).iter().filter(|other| !floor.ours.contains(&other.as_str())) {
        breaches.push(format!("{} imports {other}: {}; remove the edge", floor.name, floor.why));
    }
    let closure = graph.closure(floor.name);
    for banned in floor.never.iter().copied().flatten() {
        let Some(way) = closure.get(*banned) else { continue };
        breaches.push(format!("{} reaches {banned} by {way}: {}; cut the way", floor.name, floor.why));
    }
    breaches
}

#[test]
fn a_forbidden_way_is_found_and_shown() {
    let metadata = metadata();
    let graph = Graph::new(&metadata);
    let never: &[&[&str]] = &[&["blake3", "tokio"]];
    let floor = Floor { name: "weighbridge-ledger", ours: &[TYPES], never, why: "a trial" };
    let imports = "weighbridge-ledger imports weighbridge-commitments: a trial; remove the edge";
    let way = "weighbridge-ledger -> weighbridge-commitments -> blake3";
    let reaches = format!("weighbridge-ledger reaches blake3 by {way}: a trial; cut the way");
    assert_eq!(breaches(&graph, &floor), [imports.to_owned(), reaches]);
}

#[test]
fn every_crate_has_a_floor() {
    let placed: BTreeSet<&str> = FLOORS.iter().map(|floor| floor.name).chain(TOP).collect();
    let metadata = metadata();
    let crates: BTreeSet<&str> = metadata.workspace_packages().iter().map(|package| package.name.as_str()).collect();
    assert_eq!(crates, placed, "tests/law/floors.rs: give the new crate a row (and ARCHITECTURE.md, and a decision)");
}

#[test]
fn the_ground_floor_knows_only_a_codec_and_a_hash() {
    let metadata = metadata();
    let types = metadata.workspace_packages().into_iter().find(|package| package.name.as_str() == TYPES).expect(TYPES);
    let normal = types.dependencies.iter().filter(|edge| edge.kind == DependencyKind::Normal);
    let others: Vec<String> = normal
        .filter(|edge| !GROUND.contains(&edge.name.as_str()))
        .map(|edge| format!("attest/types/Cargo.toml: `{}` does not belong on the ground floor", edge.name))
        .collect();
    tree::hold("the ground floor imports a codec, a hash and error texts", &others);
}

fn metadata() -> Metadata {
    let mut command = MetadataCommand::new();
    command.manifest_path(tree::root().join("Cargo.toml")).current_dir(tree::root());
    let options = ["--locked", "--filter-platform", PLATFORM].map(str::to_owned);
    command.other_options(options).exec().expect("cargo metadata (is Cargo.lock up to date?)")
}

/// One line per direct edge, ascending; edges of tests are marked.
fn edges(metadata: &Metadata) -> String {
    let mut lines = BTreeSet::new();
    for package in metadata.workspace_packages() {
        for edge in &package.dependencies {
            let arrow = match edge.kind {
                DependencyKind::Development => "in tests ->",
                DependencyKind::Build => "to build ->",
                _ => "->",
            };
            lines.insert(format!("{} {arrow} {}", package.name, edge.name));
        }
    }
    let head = "# Direct edges of our crates. Written by `just bless`, compared by tests/law/floors.rs.\n";
    lines.into_iter().fold(head.to_owned(), |text, line| text + &line + "\n")
}

/// Normal dependencies as resolved for the platform.
struct Graph<'m> {
    names: BTreeMap<&'m PackageId, &'m str>,
    edges: BTreeMap<&'m PackageId, Vec<&'m PackageId>>,
    ours: BTreeSet<&'m str>,
}

impl<'m> Graph<'m> {
    fn new(metadata: &'m Metadata) -> Self {
        let names = metadata.packages.iter().map(|package| (&package.id, package.name.as_str())).collect();
        let ours = metadata.workspace_packages().iter().map(|package| package.name.as_str()).collect();
        let mut edges = BTreeMap::new();
        for node in &metadata.resolve.as_ref().expect("a resolved graph").nodes {
            let is_normal =
                |kinds: &[cargo_metadata::DepKindInfo]| kinds.iter().any(|kind| kind.kind == DependencyKind::Normal);
            let normal = node.deps.iter().filter(|edge| is_normal(&edge.dep_kinds)).map(|edge| &edge.pkg);
            edges.insert(&node.id, normal.collect());
        }
        Self { names, edges, ours }
    }

    fn normal_edges_to_ours(&self, name: &str) -> Vec<String> {
        let direct = self.edges[self.id(name)].iter().map(|id| self.names[id]);
        direct.filter(|other| self.ours.contains(other)).map(str::to_owned).collect()
    }

    /// Every package that `name` reaches, with the shortest way there in words.
    fn closure(&self, name: &str) -> BTreeMap<&'m str, String> {
        let mut ways = BTreeMap::new();
        let mut queue = VecDeque::from([(self.id(name), name.to_owned())]);
        while let Some((id, way)) = queue.pop_front() {
            for next in &self.edges[id] {
                let longer = format!("{way} -> {}", self.names[next]);
                if !ways.contains_key(self.names[next]) {
                    ways.insert(self.names[next], longer.clone());
                    queue.push_back((next, longer));
                }
            }
        }
        ways
    }

    fn id(&self, name: &str) -> &'m PackageId {
        let found = self.names.iter().find(|(_, other)| **other == name && self.ours.contains(name));
        found.map(|(id, _)| *id).unwrap_or_else(|| panic!("no crate {name} in the workspace"))
    }
}

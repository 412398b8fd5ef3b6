//! **Duty.** From what the benchmarks measured to the README's table: reads criterion's estimates, measures the memory of
//! one `weighbridge verify`, keeps the numbers in tests/benches/figures.json and writes the table between two markers.
//! **Knows** criterion's folder and the README's markers. **Does not know** how anything is measured
//! (tests/benches/figures.rs). **Spec.** Issue item "benchmarks"; docs/decisions/0023.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The table begins after this line of the README,
pub const BEGIN: &str = "<!-- figures: written by `just figures` -->";
/// and ends before this one.
pub const END: &str = "<!-- end of figures -->";
/// The numbers behind the table, in the tree.
pub const KEPT: &str = "tests/benches/figures.json";
/// Slower than the committed figure by more than this, as a ratio to the calibration loop, is worth a look.
const TOLERATED: f64 = 1.2;
const CALIBRATION: &str = "calibration/sha256";
const PEAK_MEMORY: &str = "memory/verify";
/// Before the peak resident size in `/proc/self/status`.
const HIGH_WATER: &str = "VmHWM:";

/// How a figure is shown.
#[derive(Debug, Clone, Copy)]
enum Unit {
    /// Bytes of each pass, per second.
    Rate,
    /// Time of one.
    Time,
    /// Time of one element of each pass.
    TimePerElement,
    /// How many in a second.
    PerSecond,
    /// Time of one, beside that of another row.
    RatioTo(&'static str),
    /// Bytes.
    Memory,
}

/// One line of the table: criterion's `group/function`, what it is called, what is wanted.
struct Row {
    id: &'static str,
    what: &'static str,
    wanted: &'static str,
    unit: Unit,
}

const fn row(id: &'static str, what: &'static str, wanted: &'static str, unit: Unit) -> Row {
    Row { id, what, wanted, unit }
}

const ROWS: &[Row] = &[
    row("commit/fast-one", "commit, fast root, one core", "", Unit::Rate),
    row("commit/fast-all", "commit, fast root, all cores", "≥ 3 GB/s", Unit::Rate),
    row("commit/algebraic-one", "commit, algebraic root, one core", "≥ 35 MB/s", Unit::Rate),
    row("commit/algebraic-all", "commit, algebraic root, all cores", "≥ 1.8 × one core on two", Unit::Rate),
    row("commit/both", "commit, both roots and file digests, half of the cores", "", Unit::Rate),
    row("audit/tree", "FLOP tree over a trace of bf16 products (1,024³, tiles of 16), one core", "", Unit::Rate),
    row("audit/draw", "one draw found in 32,768 tiles and its path checked", "", Unit::Time),
    row("audit/tile-bf16-1k", "tile check, 16 × 16, bf16, K = 1,024", "", Unit::Time),
    row("audit/tile-bf16-16k", "tile check, 16 × 16, bf16, K = 16,384", "", Unit::Time),
    row("audit/tile-f32-1k", "tile check, 16 × 16, f32, K = 1,024", "", Unit::Time),
    row("appraise/tdx", "appraise a TDX quote, one core", "", Unit::PerSecond),
    row("appraise/tdx-peers", "dcap-qvl and tdx-quote alone, the same quote", "", Unit::PerSecond),
    row("appraise/tdx", "time of ours beside those two", "≤ 1.3 ×", Unit::RatioTo("appraise/tdx-peers")),
    row("appraise/tdx-anew", "the same with collateral read anew", "", Unit::RatioTo("appraise/tdx-peers")),
    row("appraise/sev-snp", "appraise an SEV-SNP report, one core", "", Unit::PerSecond),
    row("appraise/sev-snp-peers", "sev alone, the same report and chain", "", Unit::PerSecond),
    row("appraise/sev-snp", "time of ours beside that", "≤ 1.3 ×", Unit::RatioTo("appraise/sev-snp-peers")),
    row("appraise/sev-snp-anew", "the same with certificates read anew", "", Unit::RatioTo("appraise/sev-snp-peers")),
    row("appraise/nvidia-gpu", "appraise a GPU's report by two manifests, one core", "", Unit::PerSecond),
    row("appraise/nvidia-gpu-anew", "the same with manifests read anew", "", Unit::PerSecond),
    row("prove/leaf", "long leaf of the meter, processor time", "", Unit::Time),
    row("prove/leaf", "the same, per interval of a full leaf", "≤ 3.3 ms", Unit::TimePerElement),
    row("prove/wrap", "wrap of a long leaf, processor time", "", Unit::Time),
    row("prove/fold", "fold of two proofs, processor time", "≤ 3.6 s", Unit::Time),
    row("prove/threshold", "threshold proof, blinded, processor time", "", Unit::Time),
    row("verify/proof-of-1", "check a threshold proof over one leaf", "≤ 20 ms", Unit::Time),
    row("verify/proof-of-16", "the same over sixteen leaves", "≤ 20 ms", Unit::Time),
    row("verify/library", "verify the demo's bundle, library", "", Unit::Time),
    row("verify/process", "verify the demo's bundle, `weighbridge verify`", "≤ 0.5 s", Unit::Time),
    row(PEAK_MEMORY, "peak memory of that process", "≤ 128 MiB", Unit::Memory),
    row("report/html", "report of the demo's bundle as a page", "≤ 0.2 s", Unit::Time),
    row(CALIBRATION, "SHA-256 on one core, for comparing machines", "", Unit::Rate),
];

/// What one run of the benchmarks measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figures {
    /// `YYYY-MM-DD`, or nothing before the first run.
    pub date: String,
    /// Model of the processor.
    pub processor: String,
    /// Processors that the process may use.
    pub cores: usize,
    /// By `group/function`; absent is not measured.
    pub measured: BTreeMap<String, Figure>,
}

/// One measurement.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figure {
    /// Nanoseconds of one pass, the mean; or bytes, for memory.
    pub amount: f64,
    /// Bytes or elements of one pass, where they are counted.
    pub of: Option<u64>,
}

/// The program: `weighbridge-figures [--check]`; with `verify …` it is `weighbridge` and says its peak memory.
#[must_use]
pub fn main() -> ExitCode {
    let asked = std::env::args().nth(1).unwrap_or_default();
    if asked == "verify" {
        return verify_and_say_memory();
    }
    match if asked == "--check" { compare() } else { write().map(|()| ExitCode::SUCCESS) } {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The committed figures.
///
/// # Errors
/// The file is absent or is not what this version writes.
pub fn committed() -> Result<Figures, Box<dyn Error>> {
    Ok(serde_json::from_slice(&fs::read(root().join(KEPT))?)?)
}

/// The table, as it stands in the README between the markers.
#[must_use]
pub fn table(figures: &Figures) -> String {
    let mut text = match figures.date.as_str() {
        "" => "Not measured yet on this version.\n".to_owned(),
        date => format!("{date}, {}, {} cores, `just figures`.\n", figures.processor, figures.cores),
    };
    text += "\n| what | figure | wanted |\n|---|---|---|\n";
    for Row { id, what, wanted, unit } in ROWS {
        let figure = figures.measured.get(*id).and_then(|figure| shown(*figure, *unit, figures));
        let wanted = if wanted.is_empty() { String::new() } else { format!("{wanted} ") };
        text += &format!("| {what} | {} | {wanted}|\n", figure.as_deref().unwrap_or("not measured"));
    }
    text
}

fn shown(figure: Figure, unit: Unit, figures: &Figures) -> Option<String> {
    let Figure { amount, of } = figure;
    let of = of.map(|of| of as f64);
    Some(match unit {
        Unit::Rate => rate(of? / amount * 1e9),
        Unit::Time => time(amount),
        Unit::TimePerElement => time(amount / of?),
        Unit::PerSecond => format!("{:.0}/s", 1e9 / amount),
        Unit::RatioTo(other) => format!("{:.2} ×", amount / figures.measured.get(other)?.amount),
        Unit::Memory => format!("{:.0} MiB", amount / 1024.0 / 1024.0),
    })
}

fn rate(per_second: f64) -> String {
    if per_second >= 1e9 { format!("{:.2} GB/s", per_second / 1e9) } else { format!("{:.1} MB/s", per_second / 1e6) }
}

fn time(nanos: f64) -> String {
    match nanos {
        _ if nanos >= 1e9 => format!("{:.2} s", nanos / 1e9),
        _ if nanos >= 1e6 => format!("{:.1} ms", nanos / 1e6),
        _ => format!("{:.1} µs", nanos / 1e3),
    }
}

fn write() -> Result<(), Box<dyn Error>> {
    let figures = measured()?;
    let table = table(&figures);
    print!("{table}");
    fs::write(root().join(KEPT), serde_json::to_string_pretty(&figures)? + "\n")?;
    let readme = root().join("README.md");
    let text = fs::read_to_string(&readme)?;
    let (before, rest) = text.split_once(BEGIN).ok_or("README.md has no marker for the figures")?;
    let (_, after) = rest.split_once(END).ok_or("README.md has no end marker for the figures")?;
    fs::write(readme, format!("{before}{BEGIN}\n{table}{END}{after}"))?;
    Ok(())
}

/// Compares ratios to the calibration loop: what became slower than the committed table says, on whatever machine.
fn compare() -> Result<ExitCode, Box<dyn Error>> {
    let slower = slower(&committed()?, &measured()?);
    for line in &slower {
        println!("{line}");
    }
    if slower.is_empty() {
        println!("nothing became slower by more than a fifth");
    }
    Ok(if slower.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn slower(committed: &Figures, now: &Figures) -> Vec<String> {
    let ratio = |figures: &Figures, id: &str| {
        let calibration = figures.measured.get(CALIBRATION)?.amount;
        let figure = figures.measured.get(id)?.amount;
        // Memory does not depend on the machine's speed.
        Some(if id == PEAK_MEMORY { figure } else { figure / calibration })
    };
    let mut lines = Vec::new();
    for id in committed.measured.keys() {
        match (ratio(committed, id), ratio(now, id)) {
            (Some(before), Some(now)) if now > before * TOLERATED => {
                lines.push(format!("{id}: {:.2} times the committed figure", now / before));
            }
            (Some(_), None) => lines.push(format!("{id}: was measured, and is not any more")),
            _ => {}
        }
    }
    lines
}

/// Everything that was measured.
fn measured() -> Result<Figures, Box<dyn Error>> {
    let mut found = BTreeMap::new();
    if let Some(bytes) = peak_memory_of_verify()? {
        found.insert(PEAK_MEMORY.to_owned(), Figure { amount: bytes, of: None });
    }
    for Row { id, .. } in ROWS.iter().filter(|row| row.id != PEAK_MEMORY) {
        if let Some(figure) = estimate(&root().join("target/criterion").join(id).join("new"))? {
            found.insert((*id).to_owned(), figure);
        }
    }
    let cores = std::thread::available_parallelism()?.get();
    let date = time::OffsetDateTime::now_utc().date().to_string();
    Ok(Figures { date, processor: processor(), cores, measured: found })
}

/// Criterion's mean, and its throughput if there is one; `None` where it did not run.
fn estimate(folder: &Path) -> Result<Option<Figure>, Box<dyn Error>> {
    let Ok(bytes) = fs::read(folder.join("estimates.json")) else { return Ok(None) };
    let estimates: Value = serde_json::from_slice(&bytes)?;
    let benchmark: Value = serde_json::from_slice(&fs::read(folder.join("benchmark.json"))?)?;
    let amount = estimates["mean"]["point_estimate"].as_f64().ok_or("an estimate has a mean")?;
    let throughput = &benchmark["throughput"];
    Ok(Some(Figure { amount, of: throughput["Bytes"].as_u64().or(throughput["Elements"].as_u64()) }))
}

/// Largest resident size of a process that does what `weighbridge verify` does, in bytes; `None` without a demo's bundle.
fn peak_memory_of_verify() -> Result<Option<f64>, Box<dyn Error>> {
    let out = root().join("out");
    if !out.join("run.weighbridge").is_file() {
        println!("memory: not measured: out/run.weighbridge is absent; run the demo first");
        return Ok(None);
    }
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("verify").arg(out.join("run.weighbridge")).arg("--trust-roots").arg(out.join("trust-roots"));
    let ran = crate::run(&mut command);
    if ran.code != Some(0) {
        return Err(format!("out/run.weighbridge does not verify; run the demo again\n{}", ran.stderr).into());
    }
    let kibibytes = ran.stderr.lines().find_map(|line| line.strip_prefix(HIGH_WATER)?.strip_suffix("kB"));
    let kibibytes: u32 = kibibytes.ok_or("the process says its peak memory")?.trim().parse()?;
    Ok(Some(f64::from(kibibytes) * 1024.0))
}

/// The shipped program's own `main` under the same arguments, and then the kernel's account of this process.
fn verify_and_say_memory() -> ExitCode {
    let code = weighbridge_verifier::main();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().filter(|line| line.starts_with(HIGH_WATER)).for_each(|line| eprintln!("{line}"));
    code
}

/// The processor's name, as the kernel has it.
#[must_use]
pub fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    model.map_or_else(|| "unknown processor".to_owned(), |(_, model)| model.trim().to_owned())
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(amounts: &[(&str, f64)]) -> Figures {
        let figure = |&(id, amount): &(&str, f64)| (id.to_owned(), Figure { amount, of: Some(1_000_000) });
        let measured = amounts.iter().map(figure).collect();
        Figures { date: "2026-11-24".to_owned(), processor: "X".to_owned(), cores: 2, measured }
    }

    #[test]
    fn a_slower_machine_is_no_slower_program() {
        let committed = figures(&[(CALIBRATION, 10.0), ("verify/library", 50.0), (PEAK_MEMORY, 100.0)]);
        let twice_as_slow = figures(&[(CALIBRATION, 20.0), ("verify/library", 110.0), (PEAK_MEMORY, 110.0)]);
        assert_eq!(slower(&committed, &twice_as_slow), Vec::<String>::new());
        let worse = figures(&[(CALIBRATION, 10.0), ("verify/library", 75.0), (PEAK_MEMORY, 130.0)]);
        let found =
            ["memory/verify: 1.30 times the committed figure", "verify/library: 1.50 times the committed figure"];
        assert_eq!(slower(&committed, &worse), found);
        let lost = figures(&[(CALIBRATION, 10.0), (PEAK_MEMORY, 100.0)]);
        assert_eq!(slower(&committed, &lost), ["verify/library: was measured, and is not any more"]);
    }

    #[test]
    fn figures_are_shown_in_their_units_and_absent_ones_as_not_measured() {
        let text = table(&figures(&[
            ("commit/fast-all", 1e6),
            ("verify/process", 2.5e8),
            ("report/html", 900.0),
            ("appraise/tdx", 2.5e6),
            ("appraise/tdx-peers", 2e6),
            ("appraise/sev-snp", 2e6),
        ]));
        assert!(text.starts_with("2026-11-24, X, 2 cores, `just figures`.\n"), "{text}");
        for line in [
            "| commit, fast root, all cores | 1.00 GB/s | ≥ 3 GB/s |",
            "| verify the demo's bundle, `weighbridge verify` | 250.0 ms | ≤ 0.5 s |",
            "| report of the demo's bundle as a page | 0.9 µs | ≤ 0.2 s |",
            "| appraise a TDX quote, one core | 400/s | |",
            "| time of ours beside those two | 1.25 × | ≤ 1.3 × |",
            "| time of ours beside that | not measured | ≤ 1.3 × |",
            "| peak memory of that process | not measured | ≤ 128 MiB |",
            "| long leaf of the meter, processor time | not measured | |",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in {text}");
        }
    }
}

//! **Duty.** Words to jobs, jobs to lines: which statements are wanted, and what became of each. **Does not know** how a
//! vendor is asked. **Spec.** ECOSYSTEM §4 (CLI, exit codes); docs/endorsements.md.

mod output;
mod pages;
mod words;

use std::ffi::OsString;
use std::io::{self, IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};
use weighbridge_attest_types::Culprit;
use weighbridge_endorsements::{PckAuthority, Store, TcbUpdate, parse_span, read_capped};

use crate::clock::SystemClock;
use crate::error::FetchError;
use crate::fetcher::{Fetcher, Limits};
use crate::http::{Http, Timeouts};
use crate::job::{Fetched, Job, fetch};
use crate::services::Services;

const LICENCE: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    "\nThe source is under Apache-2.0. This program links tdx-quote and is therefore distributed under\n",
    "AGPL-3.0-or-later; LICENSING.md says what that means."
);
const EXIT_CODES: &str = "Exit codes: 0 all is there; 1 a fault of ours; 2 usage; 3 an answer that is not what was asked for; \
    6 unavailable for now.";
/// Requests on their way at one time; queues per host come on top.
const CREW: usize = 4;
/// Longest file of an access token, and of a batch.
const MAX_TOKEN_BYTES: u64 = 16 << 10;
const MAX_BATCH_BYTES: u64 = 4 << 20;

/// Fetches what Intel, AMD and NVIDIA say about chips into a store that weighbridge appraise reads.
#[derive(Debug, Parser)]
#[command(name = "weighbridge-fetch", version, long_version = LICENCE, after_help = EXIT_CODES, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
struct Common {
    /// Folder of the store; it is made if it is not there
    #[arg(long, global = true, value_name = "DIR")]
    store: Option<PathBuf>,
    /// Ask even for what lies in the store and goes on holding
    #[arg(long, global = true)]
    refresh: bool,
    /// Ask anew for what ends within this time, such as 7d or 12h
    #[arg(long, global = true, value_name = "TIME", default_value = "0s", value_parser = parse_span)]
    within: Duration,
    /// Longest time for one exchange
    #[arg(long, global = true, value_name = "TIME", default_value = "30s", value_parser = parse_span)]
    timeout: Duration,
    /// How often to try
    #[arg(long, global = true, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    tries: u32,
    /// Longest pause before another try, also one that a service asks for
    #[arg(long, global = true, value_name = "TIME", default_value = "5m", value_parser = parse_span)]
    max_wait: Duration,
    /// Pause between two requests to AMD's service, which answers about one in ten seconds
    #[arg(long, global = true, value_name = "TIME", default_value = "10s", value_parser = parse_span)]
    amd_pause: Duration,
    /// Intel's Provisioning Certification Service, or a mirror of it
    #[arg(long, global = true, value_name = "URL", value_parser = words::url)]
    intel_url: Option<String>,
    /// Where the list of Intel's root lies
    #[arg(long, global = true, value_name = "URL", value_parser = words::url)]
    intel_root_url: Option<String>,
    /// AMD's Key Distribution Service, or a mirror of it
    #[arg(long, global = true, value_name = "URL", value_parser = words::url)]
    amd_url: Option<String>,
    /// NVIDIA's service for reference measurements, or a mirror of it
    #[arg(long, global = true, value_name = "URL", value_parser = words::url)]
    nvidia_rim_url: Option<String>,
    /// NVIDIA's OCSP responder
    #[arg(long, global = true, value_name = "URL", value_parser = words::url)]
    nvidia_ocsp_url: Option<String>,
    /// File with an access token for NVIDIA's reference measurements
    #[arg(long, global = true, value_name = "FILE")]
    nvidia_token: Option<PathBuf>,
    #[arg(long, global = true, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(flatten)]
    Wanted(Wanted),
    Batch(BatchArgs),
    Completions(pages::CompletionsArgs),
    Man(pages::ManArgs),
}

/// What can be asked for.
#[derive(Debug, Subcommand)]
pub(crate) enum Wanted {
    Intel(words::IntelArgs),
    AmdChain(words::AmdLineArgs),
    AmdCrl(words::AmdLineArgs),
    AmdVcek(words::AmdVcekArgs),
    NvidiaRim(words::NvidiaRimArgs),
    NvidiaOcsp(words::NvidiaOcspArgs),
}

/// Fetches all that a file asks for, one request per line, in the words of this command line
#[derive(Debug, Args)]
#[command(
    after_help = "Example: weighbridge-fetch batch fleet.txt --store /var/lib/weighbridge/endorsements --within 7d\n\n\
    A line is such as: amd-chain --product Milan"
)]
struct BatchArgs {
    /// The file; empty lines and lines that begin with # are left out
    file: PathBuf,
}

/// How answers are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Format {
    /// For people.
    #[default]
    Text,
    /// One object on standard output; messages for people go to standard error.
    Json,
}

/// What became of a job.
type Done = Result<Fetched, Arc<FetchError>>;

/// Intel's words on a command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Authority {
    #[default]
    Platform,
    Processor,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Update {
    #[default]
    Standard,
    Early,
}

impl From<Authority> for PckAuthority {
    fn from(authority: Authority) -> Self {
        match authority {
            Authority::Platform => Self::Platform,
            Authority::Processor => Self::Processor,
        }
    }
}

impl From<Update> for TcbUpdate {
    fn from(update: Update) -> Self {
        match update {
            Update::Standard => Self::Standard,
            Update::Early => Self::Early,
        }
    }
}

/// The program.
#[must_use]
pub fn main() -> ExitCode {
    let (mut out, mut err) = (io::stdout().lock(), io::stderr());
    let draws = err.is_terminal();
    ExitCode::from(run(std::env::args_os(), &mut out, &mut err, draws))
}

/// The definition behind `--help`, manual pages and completions; every command says its exit codes.
#[must_use]
pub fn command_line() -> clap::Command {
    Cli::command().mut_subcommands(|command| {
        let example = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        command.after_help(format!("{example}\n\n{EXIT_CODES}"))
    })
}

fn run(arguments: impl IntoIterator<Item = OsString>, out: &mut dyn Write, err: &mut dyn Write, draws: bool) -> u8 {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let parsed = command_line().try_get_matches_from(&arguments).and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() => return output::usage(&error, &arguments, out, err),
        Err(help) => return output::said(out, &help.render().to_string()),
    };
    match &cli.command {
        Command::Completions(arguments) => arguments.run(command_line(), out),
        Command::Man(arguments) => arguments.run(command_line(), out, err),
        Command::Wanted(_) | Command::Batch(_) => {
            let results = match cli.jobs() {
                Ok(jobs) => cli.work(&jobs, draws),
                Err(error) => vec![Err(Arc::new(error))],
            };
            match cli.common.format {
                Format::Text => output::text(&results, out, err),
                Format::Json => output::json(&results, out, err),
            }
        }
    }
}

impl Cli {
    fn jobs(&self) -> Result<Vec<Job>, FetchError> {
        match &self.command {
            Command::Wanted(wanted) => wanted.jobs(),
            Command::Batch(batch) => batch.jobs(),
            Command::Completions(_) | Command::Man(_) => Ok(Vec::new()),
        }
    }

    /// All jobs, a few at a time; results stand in the order of the jobs.
    fn work(&self, jobs: &[Job], draws: bool) -> Vec<Done> {
        let (store, services, fetcher) = match self.tools() {
            Ok(tools) => tools,
            Err(error) => return vec![Err(Arc::new(error))],
        };
        let bar = output::bar(jobs.len(), draws);
        let next = AtomicUsize::new(0);
        let results: Mutex<Vec<Option<Done>>> = Mutex::new(vec![None; jobs.len()]);
        let ahead = u64::try_from(self.common.within.as_millis()).unwrap_or(u64::MAX);
        std::thread::scope(|scope| {
            for _ in 0..CREW.min(jobs.len()) {
                scope.spawn(|| {
                    loop {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        let Some(job) = jobs.get(at) else { break };
                        bar.set_message(job.key.name());
                        let result = fetch(job, &store, &services, &fetcher, self.common.refresh, ahead);
                        let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
                        results.get_mut(at).into_iter().for_each(|place| *place = Some(result.clone()));
                        bar.inc(1);
                    }
                });
            }
        });
        bar.finish_and_clear();
        results.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().flatten().collect()
    }

    fn tools(&self) -> Result<(Store, Services, Fetcher), FetchError> {
        let Common { store, timeout, tries, max_wait, amd_pause, nvidia_token, .. } = &self.common;
        let store = store.as_deref().ok_or_else(|| FetchError::Words("name the store: --store DIR".to_owned()))?;
        let token = nvidia_token.as_deref().map(|path| words::text_of(path, MAX_TOKEN_BYTES)).transpose()?;
        let services = self.services();
        let amd =
            services.amd.split("://").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default().to_owned();
        let limits = Limits {
            tries: *tries,
            first_pause: Duration::from_secs(1).min(*max_wait),
            longest_pause: *max_wait,
            host_pauses: vec![(amd, *amd_pause)],
        };
        let timeouts = Timeouts { connect: *timeout, exchange: *timeout };
        let http = Http::new(timeouts, token.map(|token| token.trim().to_owned()));
        let fetcher = Fetcher::new(Box::new(http), Arc::new(SystemClock::new()), limits);
        Ok((Store::at(store), services, fetcher))
    }

    fn services(&self) -> Services {
        let known = Services::default();
        let or = |given: &Option<String>, known: String| given.clone().unwrap_or(known);
        Services {
            intel: or(&self.common.intel_url, known.intel),
            intel_root: or(&self.common.intel_root_url, known.intel_root),
            amd: or(&self.common.amd_url, known.amd),
            nvidia_rim: or(&self.common.nvidia_rim_url, known.nvidia_rim),
            nvidia_ocsp: or(&self.common.nvidia_ocsp_url, known.nvidia_ocsp),
        }
    }
}

/// A line of a batch.
#[derive(Debug, Parser)]
#[command(no_binary_name = true, disable_help_flag = true, disable_help_subcommand = true)]
struct BatchLine {
    #[command(subcommand)]
    wanted: Wanted,
}

impl BatchArgs {
    fn jobs(&self) -> Result<Vec<Job>, FetchError> {
        let text = words::text_of(&self.file, MAX_BATCH_BYTES)?;
        let mut jobs = Vec::new();
        for (number, line) in (1..).zip(text.lines().map(str::trim)) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let parsed = BatchLine::try_parse_from(line.split_whitespace());
            let why = |why: &str| FetchError::Words(format!("{}:{number}: {why}", self.file.display()));
            let line = parsed.map_err(|error| why(error.to_string().lines().next().unwrap_or_default()))?;
            for job in line.wanted.jobs()? {
                if !jobs.contains(&job) {
                    jobs.push(job);
                }
            }
        }
        Ok(jobs)
    }
}

/// Whose fault the worst result is; `None` when all went well.
fn worst(results: &[Done]) -> Option<Culprit> {
    results.iter().filter_map(|result| result.as_ref().err()).map(|error| error.culprit()).min()
}

fn read(path: &Path, cap: u64) -> Result<Vec<u8>, FetchError> {
    let failed = |source| FetchError::File { path: path.to_owned(), source };
    let bytes = read_capped(path, cap).map_err(failed)?;
    bytes.ok_or_else(|| FetchError::Words(format!("{} has more than {cap} bytes", path.display())))
}

#[cfg(test)]
mod tests;

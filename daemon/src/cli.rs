//! **Duty.** The commands of `weighbridged`: words in, exit code out. Messages for people go to standard error, results
//! to standard output. **Does not know** how anything is done. **Spec.** PROTOCOL §8.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use weighbridge_attest_collect::Platform;
use weighbridge_attest_types::NodeKey;
use weighbridge_daemon_api::{NodeInfo, NodeState, paths};

use crate::client::{Client, ClientError};
use crate::config::Config;
use crate::error::{NodeError, chain_text};
use crate::export::{self, Witness, witness_name};
use crate::shell::{ServeError, serve_reloading};
use crate::store::{Store, StoreError};

pub use outcome::CommandError;

mod doctor;
mod logging;
mod outcome;
mod reload;
mod tokens;

const EXIT_CODES: &str = "Example: weighbridged --config /etc/weighbridge/weighbridged.toml doctor\n\n\
    Exit codes: 0 done; 1 a fault of ours; 2 usage or configuration; 3 malformed or unsupported; 4 untrusted; \
    5 rejected; 6 unavailable for now.";

#[derive(Debug, Parser)]
#[command(name = "weighbridged", version, about = "Weighs a training node: signs and quotes what its job reports")]
#[command(after_help = EXIT_CODES)]
struct Arguments {
    /// Configuration file.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How results are printed.
    #[arg(long, global = true, value_enum, default_value = "text")]
    format: Format,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves this node; without a TEE and GPUs it stops with the reason.
    Run,
    /// Asks the running service what is public about the node.
    Status,
    /// Writes the public export, or, as a separate act, the private witness.
    Export(ExportArguments),
    /// Has the node key quoted under a public beacon round, or a fresh head in a run
    Challenge(tokens::ChallengeArguments),
    /// Prints the last head and the message imprint for a timestamp over it
    Head(tokens::HeadArguments),
    /// Hands in a timestamp over the last head, after the run has ended
    Receipt(tokens::ReceiptArguments),
    /// Prints counts and states of the running service, as Prometheus reads them
    Metrics {
        /// Writes them into a file instead, whole or not at all: for a collector that reads text files.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Looks at everything a node needs: interfaces, drivers, mode, counters, clock, paths; says what to do
    Doctor,
    /// Looks at the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Prints a completion script for a shell.
    Completions {
        /// Which shell.
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Writes one manual page per command into a folder.
    Man {
        /// The folder.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
}

#[derive(Debug, Args)]
#[group(id = "what", required = true, multiple = false, args = ["out", "witness"])]
struct ExportArguments {
    /// File for the public export.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Folder for the private witness; it opens every reading.
    #[arg(long, value_name = "DIR")]
    witness: Option<PathBuf>,
    /// Another than the newest node key, in hex.
    #[arg(long, value_name = "HEX", value_parser = parse_node_key)]
    node_key: Option<NodeKey>,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Parses the configuration and prints what is in force.
    Check,
}

/// What a command leaves to print.
struct Printed {
    text: String,
    claims: Value,
    /// A result that is there and is bad news.
    lacking: Option<CommandError>,
}

impl Printed {
    fn good(text: String, claims: Value) -> Self {
        Self { text, claims, lacking: None }
    }
}

/// The whole program.
#[must_use]
pub fn main() -> ExitCode {
    let Arguments { config, format, command } = Arguments::parse();
    let Printed { text, claims, lacking } = perform(config.as_deref(), &command).unwrap_or_else(|error| Printed {
        text: String::new(),
        claims: json!({}),
        lacking: Some(error),
    });
    let reason = |error: &CommandError| json!({ "code": error.code(), "message": error.text() });
    let verdict = lacking.as_ref().map_or("accepted", |error| error.culprit().verdict());
    let reasons: Vec<Value> = lacking.iter().map(reason).collect();
    let line = match format {
        Format::Text => text,
        Format::Json => json!({ "verdict": verdict, "reasons": reasons, "claims": claims }).to_string(),
    };
    // A reader that went away (`| head`) is no failure of ours.
    let _ = if line.is_empty() { Ok(()) } else { writeln!(io::stdout(), "{}", line.trim_end()) };
    lacking.map_or(ExitCode::SUCCESS, |error| {
        eprintln!("weighbridged: {}", error.text());
        ExitCode::from(error.culprit().exit_code())
    })
}

fn perform(file: Option<&Path>, command: &Command) -> Result<Printed, CommandError> {
    match command {
        Command::Completions { shell } => return Ok(completions(*shell)),
        Command::Man { out } => return man(out),
        _ => {}
    }
    let config = Config::load(file)?;
    match command {
        Command::Run => run(config, file),
        Command::Metrics { out } => metrics(&config, out.as_deref()),
        Command::Status => status(&config),
        Command::Export(arguments) => export_node(&config, arguments),
        Command::Challenge(arguments) => tokens::challenge(&config, arguments),
        Command::Head(arguments) => tokens::head(&config, arguments),
        Command::Receipt(arguments) => tokens::receipt(&config, arguments),
        Command::Doctor => Ok(doctor::doctor(&config)),
        Command::Config(ConfigCommand::Check) => check_config(&config),
        // Answered above, without a configuration.
        Command::Completions { shell } => Ok(completions(*shell)),
        Command::Man { out } => man(out),
    }
}

fn completions(shell: clap_complete::Shell) -> Printed {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "weighbridged", &mut script);
    let text = String::from_utf8_lossy(&script).into_owned();
    Printed::good(text.clone(), json!({ "script": text }))
}

fn man(folder: &Path) -> Result<Printed, CommandError> {
    let failed = |source| CommandError::Man { folder: folder.to_owned(), source };
    clap_mangen::generate_to(Arguments::command(), folder).map_err(failed)?;
    Ok(Printed::good(format!("{}\n", folder.display()), json!({ "written": folder })))
}

fn run(config: Config, file: Option<&Path>) -> Result<Printed, CommandError> {
    logging::begin();
    let platform = Platform::open(&config.platform()).map_err(NodeError::from).map_err(ServeError::from)?;
    let served = runtime()?.block_on(async {
        let asked_to_stop = stop_signal().map_err(CommandError::Runtime)?;
        let reloads = reload::on_hangup(file.map(Path::to_owned)).map_err(CommandError::Runtime)?;
        serve_reloading(config, Arc::new(platform), reloads, asked_to_stop).await.map_err(CommandError::from)
    });
    served.map(|()| Printed::good(String::new(), json!({})))
}

fn metrics(config: &Config, out: Option<&Path>) -> Result<Printed, CommandError> {
    let page = runtime()?.block_on(Client::new(&config.socket).get_bytes(paths::METRICS))?;
    if let Some(out) = out {
        export::write_public(&page, out)?;
        return Ok(Printed::good(format!("{}\n", out.display()), json!({ "written": out })));
    }
    let text = String::from_utf8_lossy(&page).into_owned();
    Ok(Printed::good(text.clone(), json!({ "page": text })))
}

fn status(config: &Config) -> Result<Printed, CommandError> {
    let info: NodeInfo = runtime()?.block_on(Client::new(&config.socket).get(paths::NODE))?;
    let state = match info.state {
        NodeState::Waiting => "waiting for a run",
        NodeState::Running => "in a run",
        NodeState::Ended => "run ended",
    };
    let mut text = format!("node key  {}\nstate     {state}\n", info.node_key);
    text.push_str(&format!("cpu       {} {}\n", info.cpu_kind, info.cpu.0));
    for device in &info.devices {
        text.push_str(&format!("device    {} {} {}\n", device.kind, device.device.0, device.name));
    }
    let or_none = |found: Option<String>| found.unwrap_or_else(|| "none".to_owned());
    text.push_str(&format!("key quote {}\n", or_none(info.key_quote.map(|quote| quote.to_string()))));
    text.push_str(&format!("genesis   {}\n", or_none(info.genesis.map(|genesis| genesis.to_string()))));
    let head = info.head.map(|head| format!("{} (interval {})", head.head, head.index));
    text.push_str(&format!("head      {}\n", or_none(head)));
    Ok(Printed::good(text, json!(info)))
}

/// From the state folder when it is free; from the running service otherwise.
fn export_node(config: &Config, arguments: &ExportArguments) -> Result<Printed, CommandError> {
    let store = match Store::open_existing(&config.state_dir) {
        Ok(store) => Some(store),
        Err(StoreError::InUse { .. }) => None,
        Err(error) => return Err(NodeError::from(error).into()),
    };
    let client = Client::new(&config.socket);
    let query = arguments.node_key.map(|key| format!("?node-key={key}")).unwrap_or_default();
    let fetch = |path: &str| -> Result<Vec<u8>, CommandError> {
        Ok(runtime()?.block_on(client.get_bytes(&format!("{path}{query}")))?)
    };
    let written = match (&arguments.out, &arguments.witness) {
        (Some(out), _) => {
            let bytes = match &store {
                Some(store) => export::public(store, arguments.node_key)?,
                None => fetch(paths::EXPORT)?,
            };
            export::write_public(&bytes, out)?;
            out.clone()
        }
        (None, Some(folder)) => {
            let witness = match &store {
                Some(store) => export::witness(store, arguments.node_key)?,
                None => named_witness(fetch(paths::WITNESS)?)?,
            };
            // The service hands out no records: they are written when the state folder is free.
            if let Some(store) = &store {
                export::write_witness(&export::counters(store, arguments.node_key)?, folder)?;
            }
            export::write_witness(&witness, folder)?
        }
        (None, None) => return Err(CommandError::NothingAsked),
    };
    let claims = json!({ "written": written });
    Ok(Printed::good(format!("{}\n", written.display()), claims))
}

/// The service sends bytes alone; the key that names the file is inside.
fn named_witness(bytes: Vec<u8>) -> Result<Witness, CommandError> {
    let key = bytes.first_chunk::<32>().copied().map(NodeKey).ok_or(CommandError::WitnessBytes)?;
    Ok(Witness { file_name: witness_name(key), bytes })
}

fn check_config(config: &Config) -> Result<Printed, CommandError> {
    let text = toml::to_string(config).map_err(CommandError::Render)?;
    Ok(Printed::good(text, json!(config)))
}

fn parse_node_key(text: &str) -> Result<NodeKey, String> {
    let bytes = hex::decode(text).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.map(NodeKey).ok_or_else(|| "a node key is 64 hex digits".to_owned())
}

fn runtime() -> Result<Runtime, CommandError> {
    Runtime::new().map_err(CommandError::Runtime)
}

/// SIGTERM from systemd, SIGINT from a person.
fn stop_signal() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

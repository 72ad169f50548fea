//! The command line.

pub mod loads;
pub mod values;

use crate::connection::credentials::Credentials;
use crate::connection::handshake::{Target, Tls, Url};
use crate::connection::transport::TlsOptions;
use crate::engine::{Plan, Work};
use crate::error::Error;
use crate::report::Outputs;
use crate::server_process::ServerProcess;
use crate::started::{self, Started};
use crate::sys;
use clap::{Args, Parser, Subcommand};
use loads::LoadCommand;
use values::CpuList;

/// Load generator for NATS servers.
///
/// Open loop by default: messages have a schedule, and latency counts from
/// the intended send time. Every run counts lost, duplicated, reordered and
/// damaged messages and says so first. Exit status: 0 clean, 1 nothing could
/// be measured, 2 measured with faults or ended early.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Cli {
    #[command(flatten)]
    pub common: Common,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    #[command(flatten)]
    Load(LoadCommand),
    /// Several loads at once, from a scenario file.
    Mix(crate::mix::Options),
    /// The highest rate at which a latency objective holds.
    FindMax(crate::find_max::Options),
    /// Two servers in turn by the table of workloads.
    Compare(crate::compare::Options),
    /// The whole table for a README: one server, or two in turn.
    Suite(crate::compare::SuiteOptions),
}

/// Flags of all subcommands.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// Server as [nats://|tls://][user:pass@]host[:port]; or a command that
    /// starts one, with {port} for its port and, where it stores, {store} for
    /// a directory that is removed afterwards.
    #[arg(
        long,
        short,
        global = true,
        default_value = "127.0.0.1:4222",
        help_heading = "Server"
    )]
    pub server: String,
    /// CPUs of the server that --server, compare and suite start.
    #[arg(
        long,
        alias = "server-cpu",
        global = true,
        value_name = "LIST",
        help_heading = "Server"
    )]
    pub server_cpus: Option<CpuList>,
    /// Process whose CPU time, memory and context switches are reported.
    #[arg(long, global = true, value_name = "PID", help_heading = "Server")]
    pub server_pid: Option<u32>,
    #[command(flatten)]
    pub access: Access,
    /// CPUs to run on, one thread each.
    #[arg(
        long,
        alias = "cpu",
        global = true,
        value_name = "LIST",
        help_heading = "Run"
    )]
    pub cpus: Option<CpuList>,
    /// Threads, where CPUs are not given.
    #[arg(long, global = true, default_value_t = 1, conflicts_with = "cpus", value_parser = values::some, help_heading = "Run")]
    pub threads: usize,
    /// Seconds of the measured part.
    #[arg(long, global = true, default_value_t = 5.0, value_parser = values::seconds, help_heading = "Run")]
    pub seconds: f64,
    /// Seconds before measuring begins.
    #[arg(long, global = true, default_value_t = 1.0, value_parser = values::seconds, help_heading = "Run")]
    pub warmup: f64,
    /// Seconds without any arrival, while messages are under way, after which
    /// the run ends. nats-server stalls a publisher for up to 10.
    #[arg(long, global = true, default_value_t = 15.0, value_parser = values::seconds, help_heading = "Run")]
    pub patience: f64,
    /// Sleep while there is nothing to do instead of spinning: latency then
    /// has the wake-up of the load generator in it.
    #[arg(long, global = true, help_heading = "Run")]
    pub block: bool,
    /// Do not show the progress.
    #[arg(long, short, global = true, help_heading = "Output")]
    pub quiet: bool,
    #[command(flatten)]
    pub outputs: Outputs,
}

/// Who we are to the server.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Access")]
pub struct Access {
    #[arg(long, global = true)]
    pub user: Option<String>,
    #[arg(long, global = true, requires = "user")]
    pub pass: Option<String>,
    #[arg(long, global = true, conflicts_with = "user")]
    pub token: Option<String>,
    /// Seed of a user's NKey, or the file that holds it.
    #[arg(long, global = true, value_name = "SEED|FILE", conflicts_with_all = ["user", "token"])]
    pub nkey: Option<String>,
    /// Creds file: JWT and seed.
    #[arg(long, global = true, value_name = "FILE", conflicts_with_all = ["user", "token", "nkey"])]
    pub creds: Option<String>,
    /// Ask for TLS where the server leaves the choice.
    #[arg(long, global = true)]
    pub tls: bool,
    /// Begin with TLS, before INFO.
    #[arg(long, global = true)]
    pub tls_first: bool,
    /// Authorities that sign the server's certificate, PEM [default: the
    /// system's].
    #[arg(long, global = true, value_name = "FILE")]
    pub tls_ca: Option<String>,
    /// Own certificate chain, PEM.
    #[arg(long, global = true, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<String>,
    /// Key of --tls-cert, PEM.
    #[arg(long, global = true, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<String>,
    /// Take any certificate.
    #[arg(long, global = true)]
    pub tls_insecure: bool,
}

impl Access {
    fn credentials(&self, url: &Url) -> Result<Credentials, Error> {
        if let Some(path) = &self.creds {
            return Credentials::creds(path);
        }
        if let Some(seed) = &self.nkey {
            return Credentials::nkey(seed);
        }
        if let Some(token) = &self.token {
            return Ok(Credentials::Token(token.clone()));
        }
        let user = self.user.as_ref().or(url.user.as_ref());
        Ok(match user {
            Some(user) => Credentials::User {
                user: user.clone(),
                pass: self.pass.clone().or_else(|| url.pass.clone()),
            },
            None => Credentials::None,
        })
    }

    fn tls(&self, url: &Url) -> Result<Option<Tls>, Error> {
        let options = TlsOptions {
            ca: self.tls_ca.clone(),
            cert: self.tls_cert.clone(),
            key: self.tls_key.clone(),
            insecure: self.tls_insecure,
        };
        let wanted = self.tls || url.tls;
        let any = wanted || self.tls_first || options.any();
        any.then(|| {
            Ok(Tls {
                config: options.config()?,
                wanted,
                first: self.tls_first,
            })
        })
        .transpose()
    }

    /// The flags again, for another loadgen.
    pub fn arguments(&self) -> Vec<String> {
        let values = [
            ("--user", &self.user),
            ("--pass", &self.pass),
            ("--token", &self.token),
            ("--nkey", &self.nkey),
            ("--creds", &self.creds),
            ("--tls-ca", &self.tls_ca),
            ("--tls-cert", &self.tls_cert),
            ("--tls-key", &self.tls_key),
        ];
        let switches = [
            ("--tls", self.tls),
            ("--tls-first", self.tls_first),
            ("--tls-insecure", self.tls_insecure),
        ];
        let mut arguments = Vec::new();
        for (flag, value) in values {
            if let Some(value) = value {
                arguments.extend([flag.to_owned(), value.clone()]);
            }
        }
        let given = switches.into_iter().filter(|(_, given)| *given);
        arguments.extend(given.map(|(flag, _)| flag.to_owned()));
        arguments
    }
}

/// The server of a run.
pub struct Place {
    pub target: Target,
    pub process: Option<ServerProcess>,
    /// Ends with this value, where loadgen started it.
    pub started: Option<Started>,
}

impl Common {
    /// Whether `--server` is a command.
    pub fn starts_server(&self) -> bool {
        self.server.contains("{port}")
    }

    /// The target at `url`.
    fn target_at(&self, url: &Url) -> Result<Target, Error> {
        Ok(Target {
            host: url.host.clone(),
            port: url.port,
            credentials: self.access.credentials(url)?,
            tls: self.access.tls(url)?,
        })
    }

    /// Who we are to servers that are started here.
    pub fn local_target(&self) -> Result<Target, Error> {
        self.target_at(&Url {
            host: "localhost".into(),
            port: 0,
            user: None,
            pass: None,
            tls: false,
        })
    }

    /// CPUs of started servers.
    pub fn server_cpus(&self) -> &[usize] {
        self.server_cpus.as_ref().map_or(&[], |list| &list.0)
    }

    /// Finds the server, or starts it.
    pub fn place(&self) -> Result<Place, Error> {
        if self.starts_server() {
            let target = self.local_target()?;
            let started = Started::start(&self.server, self.server_cpus(), &target)?;
            return Ok(Place {
                target: started.target().clone(),
                process: Some(ServerProcess::new(started.pid())?),
                started: Some(started),
            });
        }
        let url: Url = self.server.parse().map_err(|why| {
            Error::Usage(format!(
                "--server: {why}; a command that starts a server has {} in it",
                started::PORT
            ))
        })?;
        Ok(Place {
            target: self.target_at(&url)?,
            process: self.server_pid.map(ServerProcess::new).transpose()?,
            started: None,
        })
    }

    pub fn plan(&self, place: &Place) -> Plan {
        /// Seconds for what is under way when publishing is over.
        const DRAIN_PATIENCE: f64 = 3.0;
        Plan {
            target: place.target.clone(),
            server: place.process,
            threads: match &self.cpus {
                Some(list) => list.0.iter().map(|&cpu| Some(cpu)).collect(),
                None => vec![None; self.threads],
            },
            warmup_ns: nanoseconds(self.warmup),
            measure_ns: nanoseconds(self.seconds),
            patience_ns: nanoseconds(self.patience),
            drain_patience_ns: nanoseconds(DRAIN_PATIENCE.min(self.patience)),
            block: self.block,
        }
    }
}

pub fn nanoseconds(seconds: f64) -> u64 {
    (seconds * 1e9) as u64
}

/// Fails when the connections of `works` need more files than there may be.
pub fn check_files(works: &[Box<dyn Work>]) -> Result<(), Error> {
    let connections: usize = works.iter().map(|work| work.connections()).sum();
    enough_files(connections)
}

/// Raises the limit of open files, and fails when it is still too low.
pub fn enough_files(connections: usize) -> Result<(), Error> {
    /// Descriptors that are not connections.
    const OTHERS: u64 = 32;
    let files = sys::raise_file_limit().map_err(Error::system("raising the file limit"))?;
    let needed = connections as u64 + OTHERS;
    if needed > files {
        return Err(Error::Usage(format!(
            "{connections} connections need {needed} file descriptors, the limit is {files} \
             (raise it with ulimit -Hn)"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn global_flags_may_stand_behind_the_subcommand() {
        let line = "loadgen echo --conns 3 --seconds 0.5 --cpu 1 --server-cpu 0";
        let cli = Cli::parse_from(line.split(' '));
        assert_eq!(cli.common.seconds, 0.5);
        assert_eq!(cli.common.cpus, Some(CpuList(vec![1])));
        let refused = |line: &str| Cli::try_parse_from(line.split(' ')).is_err();
        assert!(refused("loadgen echo --conns 0"));
        assert!(refused("loadgen echo --seconds -1"));
        assert!(refused("loadgen pubsub --closed --asap"));
    }

    #[test]
    fn access_survives_being_passed_on() {
        let line = "loadgen pub --user me --pass x --tls --tls-insecure";
        let cli = Cli::parse_from(line.split(' '));
        let arguments = cli.common.access.arguments();
        assert_eq!(
            arguments,
            ["--user", "me", "--pass", "x", "--tls", "--tls-insecure"]
        );
    }

    #[test]
    fn a_command_is_told_from_an_address() {
        let common = |server: &str| Cli::parse_from(["loadgen", "-s", server, "pub"]).common;
        assert!(common("nats-server -p {port}").starts_server());
        assert!(!common("nats://a:1").starts_server());
        let error = common("nats-server").place().map(|_| ());
        assert!(error.is_ok(), "a name is an address");
        let error = common("nats-server -js").place().err().unwrap();
        assert!(error.to_string().contains("{port}"), "{error}");
    }
}

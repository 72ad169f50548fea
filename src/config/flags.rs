//! The table of command line flags.

/// What a flag sets. The flags of one line of the help share an identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flag {
    Host,
    Port,
    Name,
    PidFile,
    HttpPort,
    Config,
    TestConfig,
    Signal,
    ClientAdvertise,
    PortsFileDir,
    LogFile,
    LogTime,
    LogTimeUtc,
    Syslog,
    RemoteSyslog,
    Debug,
    Trace,
    TraceVerbose,
    DebugTrace,
    DebugTraceVerbose,
    LogSizeLimit,
    MaxTracedMsgLen,
    JetStream,
    StoreDir,
    User,
    Password,
    Token,
    Tls,
    TlsCert,
    TlsKey,
    TlsVerify,
    TlsCaCert,
    Help,
    Version,
    HelpTls,
    Cores,
    Cpus,
    Spin,
    BusyPoll,
    LockMemory,
    HugePages,
    Realtime,
    Accept,
    /// A flag of nats-server for what is not built yet.
    NotBuilt,
}

/// What follows a flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    /// Nothing, or `=true` and the like.
    Bool,
    Int,
    Text,
}

/// Every name of every flag, without dashes. One dash is as good as two.
pub(super) const FLAGS: &[(&str, Flag, Takes)] = &[
    ("a", Flag::Host, Takes::Text),
    ("addr", Flag::Host, Takes::Text),
    ("net", Flag::Host, Takes::Text),
    ("p", Flag::Port, Takes::Int),
    ("port", Flag::Port, Takes::Int),
    ("n", Flag::Name, Takes::Text),
    ("name", Flag::Name, Takes::Text),
    ("server_name", Flag::Name, Takes::Text),
    ("P", Flag::PidFile, Takes::Text),
    ("pid", Flag::PidFile, Takes::Text),
    ("m", Flag::HttpPort, Takes::Int),
    ("http_port", Flag::HttpPort, Takes::Int),
    ("c", Flag::Config, Takes::Text),
    ("config", Flag::Config, Takes::Text),
    ("t", Flag::TestConfig, Takes::Bool),
    ("sl", Flag::Signal, Takes::Text),
    ("signal", Flag::Signal, Takes::Text),
    ("client_advertise", Flag::ClientAdvertise, Takes::Text),
    ("ports_file_dir", Flag::PortsFileDir, Takes::Text),
    ("l", Flag::LogFile, Takes::Text),
    ("log", Flag::LogFile, Takes::Text),
    ("T", Flag::LogTime, Takes::Bool),
    ("logtime", Flag::LogTime, Takes::Bool),
    ("logtime_utc", Flag::LogTimeUtc, Takes::Bool),
    ("s", Flag::Syslog, Takes::Bool),
    ("syslog", Flag::Syslog, Takes::Bool),
    ("r", Flag::RemoteSyslog, Takes::Text),
    ("remote_syslog", Flag::RemoteSyslog, Takes::Text),
    ("D", Flag::Debug, Takes::Bool),
    ("debug", Flag::Debug, Takes::Bool),
    ("V", Flag::Trace, Takes::Bool),
    ("trace", Flag::Trace, Takes::Bool),
    ("VV", Flag::TraceVerbose, Takes::Bool),
    ("DV", Flag::DebugTrace, Takes::Bool),
    ("DVV", Flag::DebugTraceVerbose, Takes::Bool),
    ("log_size_limit", Flag::LogSizeLimit, Takes::Int),
    ("max_traced_msg_len", Flag::MaxTracedMsgLen, Takes::Int),
    ("js", Flag::JetStream, Takes::Bool),
    ("jetstream", Flag::JetStream, Takes::Bool),
    ("sd", Flag::StoreDir, Takes::Text),
    ("store_dir", Flag::StoreDir, Takes::Text),
    ("user", Flag::User, Takes::Text),
    ("pass", Flag::Password, Takes::Text),
    ("auth", Flag::Token, Takes::Text),
    ("h", Flag::Help, Takes::Bool),
    ("help", Flag::Help, Takes::Bool),
    ("v", Flag::Version, Takes::Bool),
    ("version", Flag::Version, Takes::Bool),
    ("help_tls", Flag::HelpTls, Takes::Bool),
    ("cores", Flag::Cores, Takes::Int),
    ("cpus", Flag::Cpus, Takes::Text),
    ("spin", Flag::Spin, Takes::Text),
    ("busy_poll", Flag::BusyPoll, Takes::Text),
    ("lock_memory", Flag::LockMemory, Takes::Bool),
    ("huge_pages", Flag::HugePages, Takes::Bool),
    ("realtime", Flag::Realtime, Takes::Int),
    ("accept", Flag::Accept, Takes::Text),
    ("ms", Flag::NotBuilt, Takes::Int),
    ("https_port", Flag::NotBuilt, Takes::Int),
    ("tls", Flag::Tls, Takes::Bool),
    ("tlscert", Flag::TlsCert, Takes::Text),
    ("tlskey", Flag::TlsKey, Takes::Text),
    ("tlsverify", Flag::TlsVerify, Takes::Bool),
    ("tlscacert", Flag::TlsCaCert, Takes::Text),
    ("routes", Flag::NotBuilt, Takes::Text),
    ("cluster", Flag::NotBuilt, Takes::Text),
    ("cluster_name", Flag::NotBuilt, Takes::Text),
    ("cluster_listen", Flag::NotBuilt, Takes::Text),
    ("cluster_advertise", Flag::NotBuilt, Takes::Text),
    ("no_advertise", Flag::NotBuilt, Takes::Bool),
    ("connect_retries", Flag::NotBuilt, Takes::Int),
    ("profile", Flag::NotBuilt, Takes::Int),
];

/// The help text.
pub const HELP: &str = "
Usage: nats-server [options]

Ringwire, a NATS-compatible message broker. Flags take one dash or two, and a
value after a blank or '='. They win over the configuration file.

Server:
    -a, --addr, --net <host>         address for clients (default: 0.0.0.0)
    -p, --port <port>                port for clients, -1 for any (default: 4222)
    -n, --name, --server_name <name> name of the server (default: its ID)
    -P, --pid <file>                 file for the process ID
    -m, --http_port <port>           port for monitoring, -1 for any (default: none)
    -c, --config <file>              configuration file
    -t                               check the configuration file and exit
    -sl, --signal <command>[=<pid>]  signal a running server: stop, quit, term, reopen,
                                     reload or ldm; <pid> is a number or a PID file
        --client_advertise <address> host:port that clients are told to use
        --ports_file_dir <dir>       directory for a file that lists the ports in use

Cores (extensions of Ringwire):
        --cores <number>             run on this many CPUs (default: all we may use)
        --cpus <list>                run on these CPUs, such as 2-5,8
        --spin <time>                how long an idle core polls before it sleeps, in
                                     microseconds, as a duration, or 'forever' (default: 0)
        --busy_poll <time>           how long the kernel polls the network card before a core
                                     sleeps, in microseconds or as a duration (default: 0)
        --lock_memory                keep all memory resident
        --huge_pages                 put receive buffers into huge pages
        --realtime <priority>        run the cores under SCHED_FIFO, 1 to 99 (default: 0, no)
        --accept <way>               how connections are spread over the cores: least (the core
                                     with the fewest), round_robin or incoming_cpu
                                     (default: least)

Logging:
    -l, --log <file>                 file for the log (default: standard error)
    -T, --logtime                    begin lines with the time (default: true)
        --logtime_utc                in UTC (default: local time)
    -s, --syslog                     log to syslog
    -r, --remote_syslog <address>    log to a syslog server (udp://localhost:514)
    -D, --debug                      log for debugging
    -V, --trace                      log the protocol
    -VV                              the same, system account included
    -DV, -DVV                        -D with -V, -D with -VV
        --log_size_limit <bytes>     size at which the log file is rotated (default: never)
        --max_traced_msg_len <bytes> how much of a traced message is shown (default: all)

Authorization:
        --user <user>                user name that clients must give
        --pass <password>            its password
        --auth <token>               token that clients must give

TLS (more by --help_tls):
        --tls                        TLS on the client port
        --tlscert <file>             certificate of the server, PEM
        --tlskey <file>              its key, PEM
        --tlsverify                  clients must show a certificate
        --tlscacert <file>           who signs clients' certificates, PEM

JetStream:
    -js, --jetstream                 switch JetStream on
    -sd, --store_dir <dir>           directory for streams (default: nats in the system's
                                     directory for temporary files)

Other:
    -h, --help                       this text
    -v, --version                    versions of the protocol peer and of Ringwire
        --help_tls                   help on TLS

Refused until they are built: -ms, --https_port, --routes, --cluster...,
--no_advertise, --connect_retries, --profile.
";

/// The answer to `--help_tls`.
pub const HELP_TLS: &str = "
TLS on the client port, by TLS 1.2 and 1.3.

A certificate and its key, both PEM, are enough; clients check the certificate:
    --tls --tlscert server.pem --tlskey server-key.pem
With these, clients must show a certificate that the authority signed:
    --tlsverify --tlscacert ca.pem
The block tls of the configuration file says more; see README.md.
";

/// The nats-server release whose features and protocol this server offers; clients read it from
/// INFO and test harnesses from `--version`.
pub const PEER_VERSION: &str = "2.15.1";

/// The answer to `--version`: the peer's version comes first, since harnesses take the first
/// ` vX.Y.Z` that they find.
pub fn version_text() -> String {
    format!(
        "nats-server: v{PEER_VERSION}\nringwire: v{}\n",
        env!("CARGO_PKG_VERSION")
    )
}

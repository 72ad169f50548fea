//! The program: arguments, configuration, exit status.

use std::process::ExitCode;

use ringwire::config::{self, Command, SystemSource};
use ringwire::runtime::{server, signal_process};

fn main() -> ExitCode {
    let command = match config::parse_arguments(std::env::args().skip(1)) {
        Ok(command) => command,
        Err(error) => {
            eprintln!("{error}");
            if matches!(error, config::CliError::Usage(_)) {
                println!("{}", config::HELP);
            }
            return ExitCode::from(error.exit_status());
        }
    };
    match command {
        Command::Run(flags) => run(flags),
        Command::TestConfig(flags) => match config::test_config(&flags, &SystemSource) {
            Ok(text) => {
                eprintln!("nats-server: {text}");
                ExitCode::SUCCESS
            }
            Err(error) => failure(&error),
        },
        Command::Signal(request) => match signal_process::send(&request) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failure(&error),
        },
        Command::Help => print(config::HELP),
        Command::HelpTls => print(config::HELP_TLS),
        Command::Version => print(&config::version_text()),
    }
}

fn print(text: &str) -> ExitCode {
    print!("{text}");
    if !text.ends_with('\n') {
        println!();
    }
    ExitCode::SUCCESS
}

fn failure(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("nats-server: {error}");
    ExitCode::FAILURE
}

fn run(flags: config::Flags) -> ExitCode {
    let configuration = match config::load(&flags, &SystemSource) {
        Ok(configuration) => configuration,
        Err(error) if error.is_log_line() => {
            server::log_fatal(&error.to_string());
            return ExitCode::FAILURE;
        }
        Err(error) => return failure(&error),
    };
    if !configuration.warnings.is_empty() {
        eprint!("{}", configuration.warnings);
    }
    match server::run(flags, configuration) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(server::StartError::Log(error)) => failure(&error),
        Err(_) => ExitCode::FAILURE,
    }
}

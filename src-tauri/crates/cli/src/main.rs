//! `attune`, the terminal host: reads the command line, runs one command of
//! [`attune_studio::api`], and says in words or in JSON what came of it.

mod arguments;
mod chat;
mod confirm;
mod demo;
mod failure;
mod host;
mod interrupts;
mod output;
mod progress;
mod request;
mod show;
mod spelling;
mod table;
mod words;

use std::process::ExitCode;

use attune_studio::api::{Allocator, Budgeted};
use clap::Parser;

use arguments::Arguments;
use failure::{Failure, Outcome};
use host::Host;
use output::Output;
use request::Work;

#[global_allocator]
static ALLOCATOR: Budgeted<Allocator> = Budgeted(Allocator);

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(refusal) => return failure::report_usage(&refusal),
    };
    start_log(arguments.verbose);
    let output = Output::new(arguments.json);
    let outcome = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| {
            Failure::broken(&format!("the program cannot listen for signals: {error}"))
        })
        .and_then(|runtime| runtime.block_on(run(arguments, &output)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(&output),
    }
}

/// Everything is validated before anything runs.
async fn run(arguments: Arguments, output: &Output) -> Outcome<()> {
    let work = Work::of(arguments.command, arguments.json)?;
    let mut host = Host::new(arguments.home.as_deref(), arguments.device, output)?;
    match work {
        Work::Call(call) => host.run(*call).await,
        Work::Remove(removal) => {
            if confirm::confirm(&removal)? {
                host.run(removal.call).await
            } else {
                Ok(())
            }
        }
        Work::Chat(session) => chat::chat(&mut host, session).await,
        Work::Demo(demo) => demo::demo(&mut host, demo).await,
    }
}

/// What libraries report goes to stderr, as much as `-v` asks for.
fn start_log(verbose: u8) {
    let filter = match verbose {
        0 => "error",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(tracing_subscriber::EnvFilter::new(filter))
        .init();
}

//! Stands in front of Attune's programs, in the AppImage as `AppRun`, installed as `attune` and
//! `attune-desktop`: chooses the build that this machine can run, and becomes it.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use attune_packaging::launch::{self, Choice, Program};
use attune_packaging::{At, Error, Result, environment};

fn main() -> ExitCode {
    // `exec` returns only to say why not.
    let refusal = match start() {
        Ok(error) | Err(error) => error,
    };
    // Nobody is left to tell when stderr is closed.
    let _ = writeln!(io::stderr(), "{refusal}");
    ExitCode::from(127)
}

fn start() -> Result<Error> {
    let own = env::current_exe()
        .map_err(|source| Error::new(format!("cannot find Attune's programs: {source}")))?;
    let folder = own.parent().unwrap_or(Path::new("/")).to_owned();
    let appdir = own
        .ancestors()
        .nth(4)
        .filter(|root| root.join("AppRun").exists())
        .map(Path::to_owned);
    let called = env::var_os("ARGV0")
        .filter(|_| appdir.is_some())
        .or_else(|| env::args_os().next())
        .unwrap_or_default();
    let mut arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let program = Program::called(&called, appdir.is_some(), &mut arguments);

    let mut variables = match &appdir {
        Some(appdir) if program == Program::Window => environment::of(appdir, Path::new("/")),
        _ => Vec::new(),
    };
    let device = env::var("ATTUNE_DEVICE").ok();
    let with_cuda = with_cuda(&variables);
    let choice = launch::choose(&folder, program, device.as_deref(), |program| {
        launch::answers(program, &with_cuda)
    });
    explain(&choice, device.as_deref());
    if choice.program != folder.join(program.file()) {
        variables = with_cuda;
    }

    let mut command = Command::new(&choice.program);
    command.arg0(program.file()).env_remove("ARGV0");
    if let (Some(appdir), Program::Window) = (&appdir, program) {
        let here = env::current_dir().unwrap_or_default();
        // A home named relative to the folder it was named in.
        if let Some(home) = env::var_os("ATTUNE_HOME").filter(|home| !home.is_empty()) {
            command.env("ATTUNE_HOME", here.join(home));
        }
        arguments = launch::absolute(arguments, &here);
        let usr = appdir.join("usr");
        env::set_current_dir(&usr).at("cannot enter", &usr)?;
    }
    let refusal = command.envs(variables).args(arguments).exec();
    Ok(Error::new(format!(
        "cannot start {}: {refusal}",
        choice.program.display()
    ))
    .hint("Install Attune again, or download it again."))
}

/// The same, with CUDA's libraries where its toolkit leaves them.
fn with_cuda(variables: &[(&'static str, OsString)]) -> Vec<(&'static str, OsString)> {
    const NAME: &str = "LD_LIBRARY_PATH";
    let toolkit = env::var_os("CUDA_HOME").or_else(|| env::var_os("CUDA_PATH"));
    let folders = launch::cuda_folders(Path::new("/"), toolkit.as_deref());
    let set = variables.iter().find(|(name, _)| *name == NAME);
    let set = set
        .map(|(_, value)| value.clone())
        .or_else(|| env::var_os(NAME));
    let set = set.unwrap_or_default();
    let all: Vec<PathBuf> = env::split_paths(&set)
        .filter(|folder| !folder.as_os_str().is_empty())
        .chain(folders)
        .collect();
    let mut variables = variables.to_vec();
    variables.retain(|(name, _)| *name != NAME);
    if !all.is_empty() {
        variables.push((NAME, env::join_paths(all).unwrap_or(set)));
    }
    variables
}

/// A machine without a driver is no news; a person who asked for CUDA wants to know.
fn explain(choice: &Choice, device: Option<&str>) {
    let asked = device.is_some_and(|device| device.to_ascii_lowercase().starts_with("cuda"));
    if let (Some(reason), true) = (&choice.reason, asked) {
        let _ = writeln!(
            io::stderr(),
            "The CUDA build does not start, so this is the CPU build: {reason}"
        );
    }
}

//! Which program to start: the window or the terminal, the CUDA or the CPU build.
//!
//! The CUDA build links the driver's library, cuBLAS, cuRAND, NVRTC and the runtime, and a program
//! whose libraries are missing does not even begin. So it is asked for its version first: that it
//! answers proves more than any list of files would.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::system::{CUDA, Machine};

/// What a person called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// `attune-desktop`.
    Window,
    /// `attune`.
    Terminal,
}

impl Program {
    /// By the name it was called by. One that is packed as one file is also asked by `cli`, which
    /// is then removed from `arguments`.
    pub fn called(name: &OsStr, in_one_file: bool, arguments: &mut Vec<OsString>) -> Self {
        if Path::new(name).file_name() == Some(OsStr::new("attune")) {
            return Self::Terminal;
        }
        if in_one_file && arguments.first().is_some_and(|first| first == "cli") {
            arguments.remove(0);
            return Self::Terminal;
        }
        Self::Window
    }

    /// The CPU build's file, and what both builds are called by.
    pub fn file(self) -> &'static str {
        match self {
            Self::Window => "attune-desktop",
            Self::Terminal => "attune",
        }
    }
}

/// The build to start, and why it is not the CUDA one although that was packed.
#[derive(Debug, PartialEq, Eq)]
pub struct Choice {
    /// The program.
    pub program: PathBuf,
    /// Why the CUDA build stays out, if it is there.
    pub reason: Option<String>,
}

/// Chooses among the builds in `folder`. `device` is what the person asked for, `starts` tries a
/// program and says why it does not start.
pub fn choose(
    folder: &Path,
    program: Program,
    device: Option<&str>,
    starts: impl FnOnce(&Path) -> Result<(), String>,
) -> Choice {
    let plain = folder.join(program.file());
    let cuda = folder.join(format!("{}{CUDA}", program.file()));
    if !cuda.exists() {
        return Choice {
            program: plain,
            reason: None,
        };
    }
    let refusal = if device.is_some_and(|device| device.eq_ignore_ascii_case("cpu")) {
        Err("ATTUNE_DEVICE asks for the CPU".into())
    } else {
        starts(&cuda)
    };
    match refusal {
        Ok(()) => Choice {
            program: cuda,
            reason: None,
        },
        Err(reason) => Choice {
            program: plain,
            reason: Some(reason),
        },
    }
}

/// Asks `program` for its version, and says why there was no answer.
pub fn answers(program: &Path, environment: &[(&str, OsString)]) -> Result<(), String> {
    // Loading cuBLAS from a slow disk takes seconds.
    const PATIENCE: Duration = Duration::from_secs(30);
    let child = Command::new(program)
        .arg("--version")
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.map_err(|error| error.to_string())?;
    let began = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(said(&mut child).unwrap_or_else(|| status.to_string())),
            Ok(None) if began.elapsed() < PATIENCE => sleep(Duration::from_millis(5)),
            Ok(None) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("it did not answer in {} s", PATIENCE.as_secs()));
            }
            Err(error) => return Err(error.to_string()),
        }
    }
}

/// The last line a program that ended has written, such as the library it lacks.
fn said(child: &mut Child) -> Option<String> {
    let mut text = Vec::new();
    std::io::Read::read_to_end(child.stderr.as_mut()?, &mut text).ok()?;
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().rfind(|line| !line.trim().is_empty())?;
    Some(line.trim().to_owned())
}

/// Folders of CUDA's libraries where a toolkit leaves them without telling the linker. The doctor
/// looks into the same ones (`studio/src/doctor/cuda_libraries.rs`).
pub fn cuda_folders(root: &Path, toolkit: Option<&OsStr>) -> Vec<PathBuf> {
    let targets: &[&str] = match Machine::HERE {
        Machine::X86_64 => &["x86_64-linux"],
        // Servers and newer Jetsons; older Jetsons.
        Machine::Aarch64 => &["sbsa-linux", "aarch64-linux"],
    };
    let toolkit = toolkit
        .map(PathBuf::from)
        .into_iter()
        .chain([root.join("usr/local/cuda")]);
    toolkit
        .flat_map(|toolkit| {
            let of_target = |target| toolkit.join("targets").join(target).join("lib");
            let mut folders = vec![toolkit.join("lib64")];
            folders.extend(targets.iter().map(of_target));
            folders
        })
        .chain([root.join("usr/lib/wsl/lib")])
        .filter(|folder| fs::read_dir(folder).is_ok())
        .collect()
}

/// Makes the files among `arguments` independent of the folder they were named in: the window's
/// program inside one file starts in another.
pub fn absolute(arguments: Vec<OsString>, folder: &Path) -> Vec<OsString> {
    arguments
        .into_iter()
        .map(|argument| {
            let bytes = argument.as_encoded_bytes();
            if bytes.is_empty() || bytes.starts_with(b"-") || bytes.starts_with(b"file:") {
                argument
            } else {
                folder.join(argument).into_os_string()
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn words(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    #[test]
    fn the_name_or_cli_opens_the_terminal_program() {
        let called = |name: &str, in_one_file, given: &[&str]| {
            let mut arguments = words(given);
            let program = Program::called(OsStr::new(name), in_one_file, &mut arguments);
            (program, arguments)
        };
        let list = words(&["list"]);
        assert_eq!(
            called("/usr/bin/attune", false, &["list"]),
            (Program::Terminal, list.clone())
        );
        assert_eq!(
            called("attune", true, &["cli"]),
            (Program::Terminal, words(&["cli"]))
        );
        assert_eq!(
            called("./Attune-x86_64.AppImage", true, &["cli", "list"]),
            (Program::Terminal, list)
        );
        // A file of that name, imported by the installed program.
        assert_eq!(
            called("attune-desktop", false, &["cli"]),
            (Program::Window, words(&["cli"]))
        );
        assert_eq!(called("AppRun", true, &[]), (Program::Window, words(&[])));
    }

    #[test]
    fn cuda_is_chosen_where_it_starts_and_nobody_asked_for_the_cpu() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let refuses = |_: &Path| Err("no driver".to_owned());
        let alone = choose(path, Program::Terminal, None, |_| {
            panic!("there is none to try")
        });
        assert_eq!((alone.program, alone.reason), (path.join("attune"), None));

        fs::write(path.join("attune-cuda"), "").unwrap();
        let with = |device, starts: fn(&Path) -> Result<(), String>| {
            let choice = choose(path, Program::Terminal, device, starts);
            let name = choice.program.file_name().unwrap().to_owned();
            (name.into_string().unwrap(), choice.reason)
        };
        assert_eq!(with(None, |_| Ok(())), ("attune-cuda".into(), None));
        assert_eq!(with(Some("cuda"), |_| Ok(())), ("attune-cuda".into(), None));
        assert_eq!(
            with(None, refuses),
            ("attune".into(), Some("no driver".into()))
        );
        let forced = with(Some("CPU"), |_| panic!("it must not be tried"));
        assert_eq!(forced.0, "attune");
        // Only the terminal program has a second build here.
        let window = choose(path, Program::Window, None, |_| Ok(()));
        assert_eq!(window.program, path.join("attune-desktop"));
    }

    #[test]
    fn files_keep_their_place_and_options_and_addresses_stay() {
        let given = words(&["a b.jsonl", "/data/x.csv", "--version", "file:///x.csv", ""]);
        let expected = [
            "/home/ada/a b.jsonl",
            "/data/x.csv",
            "--version",
            "file:///x.csv",
            "",
        ];
        assert_eq!(absolute(given, Path::new("/home/ada")), words(&expected));
    }

    #[test]
    fn only_folders_of_cuda_that_are_there_are_searched() {
        let root = tempfile::tempdir().unwrap();
        assert!(cuda_folders(root.path(), None).is_empty());
        let standard = root.path().join("usr/local/cuda/lib64");
        let other = root.path().join("opt/cuda/lib64");
        fs::create_dir_all(&standard).unwrap();
        fs::create_dir_all(&other).unwrap();
        let named = root.path().join("opt/cuda");
        assert_eq!(
            cuda_folders(root.path(), Some(named.as_os_str())),
            [other, standard]
        );
    }
}

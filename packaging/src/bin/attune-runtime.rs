//! The head of the AppImage. It unpacks what lies behind it, once, and becomes `AppRun`.

use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use attune_packaging::image::Image;
use attune_packaging::payload::{Payload, SIZE};
use attune_packaging::{At, Error, Result, cache};

/// The packer writes here: see [`Payload`].
#[used]
#[unsafe(link_section = ".attune_payload")]
static PAYLOAD: [u8; SIZE] = [0; SIZE];

const HELP: &str = "\
Attune as one file. It unpacks itself once, into $XDG_CACHE_HOME/attune/appimage, and starts from there.

usage: Attune.AppImage [FILE…]              opens the window; files are imported
       Attune.AppImage cli [COMMAND…]       the terminal program; so does a link named `attune`

  --appimage-extract [PATH]   unpacks everything, or what is below PATH, into squashfs-root
  --appimage-extract-and-run  starts; it is the same as starting without
  --appimage-offset           where the squashfs image begins
  --appimage-version          the version of this runtime

ATTUNE_UNPACKED names another folder to unpack into, ATTUNE_DEVICE=cpu keeps to the CPU build.
";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(refusal) => {
            // Nobody is left to tell when stderr is closed.
            let _ = writeln!(io::stderr(), "{refusal}");
            ExitCode::from(127)
        }
    }
}

fn run() -> Result<()> {
    let own = env::current_exe().map_err(|source| {
        Error::new(format!("cannot find the AppImage itself: {source}")).hint("Is /proc mounted?")
    })?;
    let payload = payload().ok_or_else(|| {
        Error::new("this is only the runtime of an AppImage, with nothing behind it")
            .hint("`make package` puts both together.")
    })?;
    let mut file = File::open(&own).at("cannot read", &own)?;
    let mut arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let first = arguments.first().and_then(|first| first.to_str());
    match first {
        Some("--appimage-help") => say(HELP),
        Some("--appimage-version") => say(concat!("Attune ", env!("CARGO_PKG_VERSION"), "\n")),
        Some("--appimage-offset") => say(&format!("{}\n", payload.offset)),
        // Nothing is signed inside, and nothing updates itself.
        Some("--appimage-signature" | "--appimage-updateinformation" | "--appimage-updateinfo") => {
            Ok(())
        }
        Some("--appimage-extract") => {
            let only = arguments.get(1).and_then(|path| path.to_str());
            extract(file, &payload, only)
        }
        Some(other)
            if other.starts_with("--appimage-") && other != "--appimage-extract-and-run" =>
        {
            Err(
                Error::new(format!("`{other}` is nothing this AppImage can do"))
                    .hint("It mounts nothing; --appimage-help lists what it can."),
            )
        }
        _ => {
            if first == Some("--appimage-extract-and-run") {
                arguments.remove(0);
            }
            let folder = cache::unpacked(&cache::folder()?, &mut file, &payload)?;
            Err(start(&own, &folder, &arguments))
        }
    }
}

fn payload() -> Option<Payload> {
    // SAFETY: a static of this program, read as it stands in the file: what the compiler saw there
    // is not what the packer wrote.
    let bytes = unsafe { std::ptr::read_volatile(&raw const PAYLOAD) };
    Payload::from_bytes(&bytes)
}

fn extract(file: File, payload: &Payload, only: Option<&str>) -> Result<()> {
    let folder = PathBuf::from("squashfs-root");
    if folder.exists() {
        return Err(
            Error::new("squashfs-root exists already").hint("Remove it, or unpack elsewhere.")
        );
    }
    Image::open(file, payload)?.unpack(&folder, only)?;
    say("squashfs-root\n")
}

/// Becomes `AppRun`; returns only to say why not.
fn start(own: &Path, folder: &Path, arguments: &[OsString]) -> Error {
    let program = folder.join("AppRun");
    let called = env::args_os().next().unwrap_or_default();
    let refusal = Command::new(&program)
        .arg0(&called)
        .args(arguments)
        .env("APPIMAGE", own)
        .env("APPDIR", folder)
        .env("ARGV0", &called)
        .exec();
    let error = Error::new(format!("cannot start {}: {refusal}", program.display()));
    match refusal.kind() {
        io::ErrorKind::PermissionDenied => error.hint(format!(
            "No program may start from there. Set {} to a folder on a disk from which programs may.",
            cache::CHOSEN
        )),
        _ => error,
    }
}

fn say(text: &str) -> Result<()> {
    io::stdout()
        .write_all(text.as_bytes())
        .map_err(|source| Error::new(format!("cannot answer: {source}")))
}

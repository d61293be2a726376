//! Makes the packages: `make package` calls it.

use std::env;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use attune_packaging::root::Root;
use attune_packaging::system::Machine;
use attune_packaging::tree::{self, Parts};
use attune_packaging::{At, Error, Result, appimage, bill, deb};

const HELP: &str = "\
usage: attune-pack appimage|deb [option…]      makes a package
       attune-pack bill --source DIR --out DIR FILE…
                                             writes SBOM, provenance and SHA256SUMS of packages

  --machine NAME    x86_64 or aarch64; this one if not given
  --root DIR        the system to take libraries from; / if not given
  --programs DIR    where attune and attune-desktop are
  --cuda DIR        where they are of the CUDA build, if that is packed too
  --fronts DIR      where attune-launch and attune-runtime are, for the same machine
  --source DIR      the repository; the folder it is called in if not given
  --out DIR         where the package goes
";

fn main() -> ExitCode {
    match run() {
        Ok(said) => {
            // The package is there, whoever listens.
            let _ = io::stdout().write_all(said.as_bytes());
            ExitCode::SUCCESS
        }
        Err(refusal) => {
            let _ = writeln!(io::stderr(), "{refusal}");
            ExitCode::FAILURE
        }
    }
}

struct Given {
    options: Vec<(String, PathBuf)>,
    files: Vec<PathBuf>,
}

impl Given {
    fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let mut given = Self {
            options: Vec::new(),
            files: Vec::new(),
        };
        while let Some(argument) = arguments.next() {
            if let Some(name) = argument.strip_prefix("--") {
                let value = arguments.next().ok_or_else(|| {
                    Error::new(format!("--{name} is given without a value")).hint(HELP)
                })?;
                given.options.push((name.to_owned(), value.into()));
            } else {
                given.files.push(argument.into());
            }
        }
        Ok(given)
    }

    fn option(&self, name: &str) -> Option<&Path> {
        let found = self.options.iter().rev().find(|(found, _)| found == name);
        found.map(|(_, value)| value.as_path())
    }

    fn need(&self, name: &str) -> Result<&Path> {
        self.option(name)
            .ok_or_else(|| Error::new(format!("--{name} is missing")).hint(HELP))
    }
}

fn run() -> Result<String> {
    let mut arguments = env::args().skip(1);
    let what = arguments.next().unwrap_or_default();
    let given = Given::read(arguments)?;
    let source = given.option("source").unwrap_or(Path::new(".")).to_owned();
    match what.as_str() {
        "appimage" | "deb" => pack(&what, &given, source),
        "bill" => bill::write(&source, given.need("out")?, &given.files),
        "--help" | "-h" => Ok(HELP.into()),
        other => Err(Error::new(format!("`{other}` is nothing to pack")).hint(HELP)),
    }
}

fn pack(what: &str, given: &Given, source: PathBuf) -> Result<String> {
    let machine = match given.option("machine") {
        None => Machine::HERE,
        Some(name) => name.to_str().and_then(Machine::parse).ok_or_else(|| {
            Error::new(format!("{} is no machine to pack for", name.display())).hint(HELP)
        })?,
    };
    let parts = Parts {
        version: bill::version(&source)?,
        programs: given.need("programs")?.to_owned(),
        cuda: given.option("cuda").map(Path::to_owned),
        fronts: given.need("fronts")?.to_owned(),
        root: Root::new(given.option("root").unwrap_or(Path::new("/")), machine),
        source,
    };
    let out = given.need("out")?;
    let work = out.join(format!("work-{what}-{}", machine.name()));
    if work.exists() {
        fs::remove_dir_all(&work).at("cannot remove", &work)?;
    }
    tree::make(&work)?;
    let package = match what {
        "deb" => deb::make(&parts, &work, out)?,
        _ => appimage::make(&parts, &work, out)?,
    };
    let newest = tree::check(&parts, &work)?;
    let bytes = fs::metadata(&package).at("cannot read", &package)?.len();
    fs::remove_dir_all(&work).at("cannot remove", &work)?;
    let floor = newest.map_or(String::new(), |((major, minor), file)| {
        let name = file.file_name().unwrap_or_default().display();
        format!("; needs glibc {major}.{minor} (for {name})")
    });
    Ok(format!(
        "{} ({:.1} MB{floor})\n",
        package.display(),
        bytes as f64 / 1e6
    ))
}

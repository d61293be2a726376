//! The system that libraries are taken from: this one, or a folder with another machine's.

use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::elf::{self, Elf};
use crate::system::Machine;
use crate::{Error, Result};

/// A Debian system at `/` or in a folder.
#[derive(Debug, Clone)]
pub struct Root {
    path: PathBuf,
    machine: Machine,
}

impl Root {
    /// The system in `path`, of which `machine`'s libraries are wanted.
    pub fn new(path: &Path, machine: Machine) -> Self {
        Self {
            path: path.to_owned(),
            machine,
        }
    }

    /// Which machine's libraries are wanted.
    pub fn machine(&self) -> Machine {
        self.machine
    }

    /// A place in it.
    pub fn join(&self, below: &str) -> PathBuf {
        self.path.join(below)
    }

    /// The folder of the machine's libraries.
    pub fn libraries(&self) -> PathBuf {
        self.path.join("usr/lib").join(self.machine.triple())
    }

    /// The file that a path within the root leads to. Links that begin at `/` mean the root.
    pub fn resolve(&self, path: &Path) -> Option<PathBuf> {
        let mut pending: Vec<PathBuf> = vec![path.strip_prefix(&self.path).ok()?.to_owned()];
        let mut here = self.path.clone();
        let mut links = 0;
        while let Some(next) = pending.pop() {
            let mut parts = next.components();
            let Some(part) = parts.next() else { continue };
            pending.push(parts.as_path().to_owned());
            match part {
                Component::RootDir => here.clone_from(&self.path),
                Component::ParentDir if here != self.path => {
                    here.pop();
                }
                Component::Normal(name) => {
                    let found = here.join(name);
                    if let Ok(to) = fs::read_link(&found) {
                        links += 1;
                        if links > 40 {
                            return None;
                        }
                        pending.push(to);
                    } else {
                        here = found;
                    }
                }
                _ => {}
            }
        }
        here.exists().then_some(here)
    }

    /// The library called `name` that a file in `origin` with these demands would be given.
    pub fn library(&self, name: &str, from: &Elf, origin: &Path) -> Result<PathBuf> {
        let named = from.search.iter().map(|folder| {
            match folder
                .strip_prefix("$ORIGIN")
                .or_else(|| folder.strip_prefix("${ORIGIN}"))
            {
                Some(below) => PathBuf::from(format!("{}{below}", origin.display())),
                None => self.path.join(folder.trim_start_matches('/')),
            }
        });
        named
            .chain(self.machine.library_folders(&self.path))
            .filter_map(|folder| self.resolve(&folder.join(name)))
            .find(|file| {
                elf::read(file)
                    .is_ok_and(|elf| elf.is_some_and(|elf| elf.machine == Some(self.machine)))
            })
            .ok_or_else(|| {
                Error::new(format!(
                    "there is no {name} for {} in {}",
                    self.machine.name(),
                    self.path.display()
                ))
                .hint("Install its package there.")
            })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::os::unix::fs::symlink;

    use super::*;

    /// A link of another machine's system must never lead into this one's.
    #[test]
    fn links_stay_in_the_root() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        fs::create_dir_all(path.join("usr/lib/far")).unwrap();
        fs::create_dir_all(path.join("etc")).unwrap();
        fs::write(path.join("usr/lib/far/libx.so.1.2"), "x").unwrap();
        symlink("usr/lib", path.join("lib")).unwrap();
        symlink("/etc/libx", path.join("usr/lib/libx.so.1")).unwrap();
        symlink("../lib/far/libx.so.1.2", path.join("etc/libx")).unwrap();
        symlink("/usr/bin/env", path.join("outside")).unwrap();
        symlink("loop", path.join("loop")).unwrap();
        let root = Root::new(path, Machine::X86_64);
        let found = |below: &str| root.resolve(&root.join(below));
        assert_eq!(
            found("lib/libx.so.1"),
            Some(path.join("usr/lib/far/libx.so.1.2"))
        );
        assert_eq!(
            (found("outside"), found("loop"), found("nothing")),
            (None, None, None)
        );
    }
}

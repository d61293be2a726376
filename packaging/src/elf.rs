//! What a program or library asks of the system, read from the file itself: nothing is run, so
//! files of another machine are read like our own.

use std::fs;
use std::path::Path;

use object::elf::{DT_NEEDED, DT_RPATH, DT_RUNPATH, EM_AARCH64, EM_X86_64, FileHeader64};
use object::read::elf::{FileHeader as _, SectionHeader as _};
use object::{Endianness, read};

use crate::system::Machine;
use crate::{At, Error, Result};

/// A version of glibc, such as 2.36.
pub type Glibc = (u32, u32);

/// A dynamic ELF file's demands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elf {
    /// What it runs on, if that is a machine we pack for.
    pub machine: Option<Machine>,
    /// The libraries it names.
    pub needed: Vec<String>,
    /// Folders it searches first, as written; `$ORIGIN` is its own.
    pub search: Vec<String>,
    /// The newest version of glibc whose symbols it uses.
    pub glibc: Option<Glibc>,
}

/// Reads a file; nothing if it is not a 64-bit ELF file.
pub fn read(path: &Path) -> Result<Option<Elf>> {
    let bytes = fs::read(path).at("cannot read", path)?;
    if !bytes.starts_with(b"\x7fELF\x02") {
        return Ok(None);
    }
    let parsed = parse(&bytes);
    parsed
        .map(Some)
        .map_err(|error| Error::new(format!("{} is broken: {error}", path.display())))
}

fn parse(bytes: &[u8]) -> read::Result<Elf> {
    let header = FileHeader64::<Endianness>::parse(bytes)?;
    let endian = header.endian()?;
    let sections = header.sections(endian, bytes)?;
    let mut elf = Elf {
        machine: match header.e_machine(endian) {
            EM_X86_64 => Some(Machine::X86_64),
            EM_AARCH64 => Some(Machine::Aarch64),
            _ => None,
        },
        needed: Vec::new(),
        search: Vec::new(),
        glibc: None,
    };
    let dynamic = sections.dynamic_table(endian, bytes)?;
    for entry in &dynamic {
        let text = || -> read::Result<String> {
            Ok(String::from_utf8_lossy(dynamic.string(entry)?).into_owned())
        };
        if entry.tag == DT_NEEDED {
            elf.needed.push(text()?);
        } else if entry.tag == DT_RUNPATH || entry.tag == DT_RPATH {
            elf.search.extend(text()?.split(':').map(str::to_owned));
        }
    }
    if let Some((mut files, link)) = sections.gnu_verneed(endian, bytes)? {
        let strings = sections.strings(endian, bytes, link)?;
        while let Some((_, mut versions)) = files.next()? {
            while let Some(version) = versions.next()? {
                let name = String::from_utf8_lossy(version.name(endian, strings)?).into_owned();
                elf.glibc = elf.glibc.max(glibc(&name));
            }
        }
    }
    Ok(elf)
}

/// `GLIBC_2.36` or `GLIBC_2.2.5`; names such as `GLIBC_ABI_DT_RELR` are no version.
fn glibc(name: &str) -> Option<Glibc> {
    let mut parts = name.strip_prefix("GLIBC_")?.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// Where the section called `name` lies in the file: first byte and length.
pub fn section(bytes: &[u8], name: &str) -> Result<(usize, usize)> {
    let find = || -> read::Result<Option<(u64, u64)>> {
        let header = FileHeader64::<Endianness>::parse(bytes)?;
        let endian = header.endian()?;
        let sections = header.sections(endian, bytes)?;
        let found = sections.section_by_name(endian, name.as_bytes());
        Ok(found.and_then(|(_, section)| section.file_range(endian)))
    };
    match find() {
        Ok(Some((offset, length))) => Ok((offset as usize, length as usize)),
        Ok(None) => Err(Error::new(format!("there is no section {name}"))),
        Err(error) => Err(Error::new(format!("no ELF file: {error}"))),
    }
}

/// Where other tools believe the image behind a runtime begins: behind its table of sections.
pub fn end(bytes: &[u8]) -> Result<u64> {
    let find = || -> read::Result<u64> {
        let header = FileHeader64::<Endianness>::parse(bytes)?;
        let endian = header.endian()?;
        let table = u64::from(header.e_shnum(endian)) * u64::from(header.e_shentsize(endian));
        Ok(header.e_shoff(endian) + table)
    };
    find().map_err(|error| Error::new(format!("no ELF file: {error}")))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn versions_of_glibc_compare_by_number() {
        assert_eq!(glibc("GLIBC_2.36"), Some((2, 36)));
        assert!(glibc("GLIBC_2.9") < glibc("GLIBC_2.36"));
        assert_eq!(glibc("GLIBC_2.2.5"), Some((2, 2)));
        assert_eq!(glibc("GLIBC_ABI_DT_RELR").or(glibc("GCC_3.0")), None);
    }

    /// This test is itself a program that needs a glibc.
    #[test]
    fn a_program_tells_its_machine_its_libraries_and_its_floor() {
        let elf = read(&std::env::current_exe().unwrap()).unwrap().unwrap();
        assert_eq!(elf.machine, Some(Machine::HERE));
        assert!(elf.needed.iter().any(|name| name == "libc.so.6"), "{elf:?}");
        assert!(elf.glibc >= Some((2, 17)), "{elf:?}");
        let folder = tempfile::tempdir().unwrap();
        let text = folder.path().join("text");
        fs::write(&text, "#!/bin/sh\n").unwrap();
        assert_eq!(read(&text).unwrap(), None);
        fs::write(&text, b"\x7fELF\x02\x01\x01").unwrap();
        let refusal = read(&text).unwrap_err().to_string();
        assert!(refusal.contains("is broken"), "{refusal}");
    }
}

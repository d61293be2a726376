//! What a file says is what is read; what is broken is refused, wherever it is broken.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

use super::{Gguf, TensorType};
use crate::Error;

/// A file under construction.
#[derive(Clone)]
pub(crate) struct File {
    version: u32,
    pub(crate) entries: Vec<Vec<u8>>,
    pub(crate) tensors: Vec<Vec<u8>>,
    data: Vec<u8>,
}

pub(crate) fn text(text: &str) -> Vec<u8> {
    let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
    bytes.extend(text.as_bytes());
    bytes
}

pub(crate) fn entry(key: &str, kind: u32, value: &[u8]) -> Vec<u8> {
    [text(key), kind.to_le_bytes().to_vec(), value.to_vec()].concat()
}

pub(crate) fn list(kind: u32, count: u64, values: &[u8]) -> Vec<u8> {
    [&kind.to_le_bytes(), &count.to_le_bytes()[..], values].concat()
}

fn tensor(name: &str, columns_first: &[u64], kind: u32, offset: u64) -> Vec<u8> {
    let mut bytes = text(name);
    bytes.extend((columns_first.len() as u32).to_le_bytes());
    columns_first
        .iter()
        .for_each(|size| bytes.extend(size.to_le_bytes()));
    bytes.extend(kind.to_le_bytes());
    bytes.extend(offset.to_le_bytes());
    bytes
}

impl File {
    /// One of everything.
    pub(crate) fn small() -> Self {
        let words = [text("a"), text("ü▁"), text("")].concat();
        let numbers = [1.5_f32, -2.0].map(f32::to_le_bytes).concat();
        Self {
            version: 3,
            entries: vec![
                entry("general.architecture", 8, &text("llama")),
                entry("u8", 0, &[200]),
                entry("i8", 1, &[0xff]),
                entry("u16", 2, &60_000_u16.to_le_bytes()),
                entry("i16", 3, &(-5_i16).to_le_bytes()),
                entry("u32", 4, &7_u32.to_le_bytes()),
                entry("i32", 5, &(-7_i32).to_le_bytes()),
                entry("f32", 6, &1e-6_f32.to_le_bytes()),
                entry("flag", 7, &[1]),
                entry("words", 9, &list(8, 3, &words)),
                entry("numbers", 9, &list(6, 2, &numbers)),
                entry("flags", 9, &list(7, 2, &[0, 1])),
                entry("u64", 10, &u64::MAX.to_le_bytes()),
                entry("i64", 11, &(-1_i64).to_le_bytes()),
                entry("f64", 12, &0.25_f64.to_le_bytes()),
            ],
            tensors: vec![
                tensor("matrix", &[3, 2], 0, 0),
                tensor("blocks", &[32, 1], 8, 32),
                tensor("strange", &[256], 22, 0),
            ],
            data: (0..66).collect(),
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = b"GGUF".to_vec();
        bytes.extend(self.version.to_le_bytes());
        bytes.extend((self.tensors.len() as u64).to_le_bytes());
        bytes.extend((self.entries.len() as u64).to_le_bytes());
        bytes.extend(self.entries.concat());
        bytes.extend(self.tensors.concat());
        bytes.resize(bytes.len().next_multiple_of(32), 0);
        bytes.extend(&self.data);
        bytes
    }

    fn with(mut self, entry: Vec<u8>) -> Self {
        self.entries.push(entry);
        self
    }

    fn refusal(&self) -> String {
        open(self.bytes()).unwrap_err().to_string()
    }
}

fn open(bytes: Vec<u8>) -> Result<Gguf, Error> {
    Gguf::from_bytes(Path::new("small.gguf"), bytes)
}

#[test]
fn what_a_file_says_is_what_is_read() {
    for version in [2, 3] {
        let file = open(
            File {
                version,
                ..File::small()
            }
            .bytes(),
        )
        .unwrap();
        assert_eq!(file.text("general.architecture").unwrap(), Some("llama"));
        for (key, number) in [
            ("u8", 200.0),
            ("i8", -1.0),
            ("u16", 60_000.0),
            ("i16", -5.0),
            ("u32", 7.0),
            ("i32", -7.0),
            // Not 9.999999974752427e-7.
            ("f32", 1e-6),
            ("u64", u64::MAX as f64),
            ("i64", -1.0),
            ("f64", 0.25),
        ] {
            assert_eq!(file.number(key).unwrap(), Some(number), "{key}");
        }
        assert_eq!(file.count("u64").unwrap(), Some(u64::MAX));
        assert!(file.count("i64").is_err());
        assert_eq!(file.flag("flag").unwrap(), Some(true));
        let words: Vec<_> = file.texts("words").unwrap().unwrap().collect();
        assert_eq!(words, ["a", "ü▁", ""]);
        let numbers = |key| file.numbers(key).unwrap().unwrap().collect::<Vec<_>>();
        assert_eq!(numbers("numbers"), [1.5, -2.0]);
        assert_eq!(numbers("flags"), [0.0, 1.0]);
        assert_eq!(file.text("nothing").unwrap(), None);

        let matrix = &file.tensors()["matrix"];
        assert_eq!(
            (matrix.kind, &matrix.shape[..]),
            (TensorType::F32, &[2, 3][..])
        );
        assert_eq!(file.bytes(matrix), (0..24).collect::<Vec<u8>>());
        let blocks = &file.tensors()["blocks"];
        assert_eq!(file.bytes(blocks), (32..66).collect::<Vec<u8>>());
        let strange = &file.tensors()["strange"];
        assert_eq!(
            (strange.kind.to_string(), strange.kind.nearest()),
            ("IQ2_S".into(), "Q2_K")
        );
        assert_eq!(file.bytes(strange), [0_u8; 0]);
    }
}

/// A key of another kind than is wanted says so, with both kinds.
#[test]
fn a_value_of_another_kind_is_an_error() {
    let file = open(File::small().bytes()).unwrap();
    let error = file.number("words").unwrap_err();
    assert_eq!(error.code(), "gguf-broken");
    assert_eq!(
        error.to_string(),
        "`small.gguf` is not a readable GGUF file: `words` is a list, a number is expected"
    );
    assert!(file.text("u8").is_err() && file.flag("u8").is_err());
    assert!(file.texts("numbers").is_err() && file.numbers("words").is_err());
}

/// Wherever a download breaks off, and whichever byte of it is another, the answer is an error or
/// a file whose every part lies inside it.
#[test]
fn a_file_cut_off_or_changed_anywhere_does_no_harm() {
    let whole = File::small().bytes();
    for length in 0..whole.len() {
        assert!(open(whole[..length].to_vec()).is_err(), "cut at {length}");
    }
    let (mut opened, mut refused) = (0, 0);
    for place in 0..whole.len() {
        for flip in [1, 0x80, 0xff, whole[place]] {
            let mut changed = whole.clone();
            changed[place] ^= flip;
            match open(changed) {
                Err(error) => {
                    assert!(error.remedy().is_some() && error.place().is_some());
                    refused += 1;
                }
                Ok(file) => {
                    for tensor in file.tensors().values() {
                        let _ = file.bytes(tensor);
                    }
                    for key in ["words", "numbers", "flags"] {
                        let _ = file.texts(key).map(|texts| texts.map(Iterator::count));
                        let _ = file
                            .numbers(key)
                            .map(|numbers| numbers.map(Iterator::count));
                    }
                    opened += 1;
                }
            }
        }
    }
    assert!(
        opened > 100 && refused > 100,
        "{opened} opened, {refused} refused"
    );
}

#[test]
fn hostile_numbers_are_refused_by_name() {
    let small = File::small;
    let huge = u64::MAX.to_le_bytes();
    let tensor_only = |tensor| File {
        tensors: vec![tensor],
        ..small()
    };
    for (file, reason) in [
        (
            File {
                version: 1,
                ..small()
            },
            "GGUF version 1",
        ),
        (
            File {
                version: 4,
                ..small()
            },
            "GGUF version 4",
        ),
        (
            File {
                version: 0x0300_0000,
                ..small()
            },
            "big-endian",
        ),
        (
            small().with(entry("u8", 0, &[1])),
            "the key `u8` stands twice",
        ),
        (
            small().with(entry("long", 8, &huge)),
            "takes 18446744073709551615 bytes",
        ),
        (
            small().with(entry("list", 9, &list(0, u64::MAX, &[]))),
            "a list of 18446744073709551615",
        ),
        (
            small().with(entry("list", 9, &list(12, 1 << 23, &[]))),
            "takes 67108864 bytes",
        ),
        (
            small().with(entry("list", 9, &list(9, 1, &[]))),
            "a list of lists",
        ),
        (
            small().with(entry("list", 9, &list(7, 1, &[2]))),
            "neither 0 nor 1",
        ),
        (small().with(entry("kind", 13, &[])), "13 is no type"),
        (small().with(entry("flag2", 7, &[2])), "neither 0 nor 1"),
        (
            small().with(entry(
                "letters",
                8,
                &[&2_u64.to_le_bytes()[..], &[0xff, 0xfe]].concat(),
            )),
            "not UTF-8",
        ),
        (small().with(entry("", 0, &[1])), "has 0 bytes"),
        (
            small().with(entry("general.alignment", 4, &3_u32.to_le_bytes())),
            "alignment",
        ),
        (
            small().with(entry("general.alignment", 4, &0_u32.to_le_bytes())),
            "alignment",
        ),
        (
            tensor_only(tensor("t", &[3, 2], 0, 64)),
            "`t` reaches past the file's end",
        ),
        (
            tensor_only(tensor("t", &[3, 2], 0, u64::MAX - 31)),
            "reaches past",
        ),
        (
            tensor_only(tensor("t", &[3, 2], 0, 8)),
            "lies at 8, no multiple of 32",
        ),
        (
            tensor_only(tensor("t", &[u64::MAX, 2], 0, 0)),
            "has the shape",
        ),
        (tensor_only(tensor("t", &[1 << 62], 0, 0)), "reaches past"),
        (tensor_only(tensor("t", &[0, 2], 0, 0)), "has the shape"),
        (
            tensor_only(tensor("t", &[33], 8, 0)),
            "33 columns, no multiple of the 32",
        ),
        (
            tensor_only(tensor("t", &[1, 1, 1, 1, 1], 0, 0)),
            "has 5 dimensions",
        ),
        (tensor_only(tensor("t", &[], 0, 0)), "has 0 dimensions"),
        (
            File {
                tensors: vec![tensor("t", &[1], 0, 0), tensor("t", &[1], 0, 0)],
                ..small()
            },
            "`t` stands twice",
        ),
    ] {
        let found = file.refusal();
        assert!(found.contains(reason), "{found:?} should say {reason:?}");
    }
    let mut many = small().bytes();
    many[8..16].copy_from_slice(&huge);
    assert!(
        open(many)
            .unwrap_err()
            .to_string()
            .contains("it names 18446744073709551615 tensors")
    );
    assert!(
        open(b"safetensors?".to_vec())
            .unwrap_err()
            .to_string()
            .contains("begin with `GGUF`")
    );
}

/// kB of the file at `path` that count as this process's memory.
#[cfg(target_os = "linux")]
fn resident(path: &Path) -> u64 {
    let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
    let of_file = maps
        .lines()
        .skip_while(|line| !line.ends_with(&*path.to_string_lossy()));
    let rss = of_file
        .skip(1)
        .find_map(|line| line.strip_prefix("Rss:"))
        .unwrap();
    rss.trim().trim_end_matches(" kB").parse().unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn pages_of_a_tensor_are_given_back() {
    let rows = 4 << 20;
    let file = File {
        version: 3,
        entries: vec![entry("general.architecture", 8, &text("llama"))],
        tensors: vec![tensor("large", &[1, rows], 0, 0)],
        data: vec![7; 4 * rows as usize],
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.gguf");
    std::fs::write(&path, file.bytes()).unwrap();

    let file = Gguf::open(&path).unwrap();
    let large = &file.tensors()["large"];
    let sum = |bytes: &[u8]| bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>();
    let before = sum(file.bytes(large));
    assert!(resident(&path) >= 16 << 10, "what was read is held");
    file.give_back(large);
    assert!(resident(&path) < 1 << 10, "what was given back is not");
    assert_eq!(sum(file.bytes(large)), before);
}

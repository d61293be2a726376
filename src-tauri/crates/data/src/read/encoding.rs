//! Which encoding a text file has.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};

use crate::{Error, Result};

/// Bytes looked at in one piece.
const PIECE: usize = 256 << 10;

/// An encoding, and the bytes of the mark that precedes the text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Encoded {
    pub(super) encoding: &'static Encoding,
    pub(super) mark: u64,
}

impl Encoded {
    pub(super) fn name(self) -> &'static str {
        self.encoding.name()
    }
}

/// The encoding of the file at `path`, called `name` in messages. A byte order mark decides;
/// otherwise the letters outside ASCII do, wherever in the file the first of them stands.
pub(super) fn detect(name: &Path, path: &Path) -> Result<Encoded> {
    let io = |error| Error::io(name, "read", error);
    let mut file = File::open(path).map_err(io)?;
    let mut piece = read_piece(&mut file).map_err(io)?;
    if let Some((encoding, mark)) = Encoding::for_bom(&piece) {
        return Ok(Encoded {
            encoding,
            mark: mark as u64,
        });
    }
    if let Some(encoding) = unmarked_utf_16(&piece) {
        return Ok(Encoded { encoding, mark: 0 });
    }
    if let Some(reason) = binary(&piece) {
        return Err(Error::NotData {
            path: name.to_owned(),
            reason,
        });
    }
    while piece.is_ascii() && !piece.is_empty() {
        piece = read_piece(&mut file).map_err(io)?;
    }
    // The piece may begin in the file's middle but, as all before it is ASCII, not in a letter's.
    let first = piece
        .iter()
        .position(|byte| !byte.is_ascii())
        .unwrap_or(piece.len());
    piece.drain(..first.saturating_sub(64));
    Ok(Encoded {
        encoding: guess(&piece),
        mark: 0,
    })
}

fn read_piece(file: &mut File) -> std::io::Result<Vec<u8>> {
    let mut piece = Vec::with_capacity(PIECE);
    file.take(PIECE as u64).read_to_end(&mut piece)?;
    Ok(piece)
}

fn guess(piece: &[u8]) -> &'static Encoding {
    // A letter may be cut at the end; one that is broken further up is not UTF-8.
    let utf_8 =
        std::str::from_utf8(piece).map_or_else(|error| error.error_len().is_none(), |_| true);
    if utf_8 {
        return UTF_8;
    }
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    detector.feed(piece, true);
    detector.guess(None, Utf8Detection::Deny)
}

/// UTF-16 without a mark: in the languages whose letters share a high byte, every other byte is 0.
fn unmarked_utf_16(piece: &[u8]) -> Option<&'static Encoding> {
    let zeros = |parity: usize| {
        piece
            .iter()
            .skip(parity)
            .step_by(2)
            .filter(|byte| **byte == 0)
            .count()
    };
    let (even, odd, pairs) = (zeros(0), zeros(1), piece.len() / 2);
    match pairs {
        0 => None,
        _ if odd * 10 > pairs * 4 && even * 50 < pairs => Some(UTF_16LE),
        _ if even * 10 > pairs * 4 && odd * 50 < pairs => Some(UTF_16BE),
        _ => None,
    }
}

/// Why `piece` cannot be text.
fn binary(piece: &[u8]) -> Option<String> {
    if piece.starts_with(&[0x1f, 0x8b]) {
        return Some("it is compressed with gzip; unpack it first".to_owned());
    }
    let control = |byte: &&u8| matches!(**byte, 0x01..=0x08 | 0x0e..=0x1a | 0x1c..=0x1f | 0x7f);
    let controls = piece.iter().filter(control).count();
    let garbage = piece.contains(&0) || controls * 20 > piece.len();
    garbage.then(|| "it holds binary data, no text".to_owned())
}

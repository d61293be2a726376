//! What the runtime knows of the image behind it. The packer writes it into a section of the
//! runtime, so that a start need not read a hundred megabytes to know which version it is.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use sha2::{Digest, Sha256};

/// The section of the runtime's ELF that holds it.
pub const SECTION: &str = ".attune_payload";

/// Bytes of it there: offset and length, little-endian, then the SHA-256.
pub const SIZE: usize = 48;

/// Where the squashfs image lies in the AppImage, and what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Payload {
    /// First byte of the image in the file.
    pub offset: u64,
    /// Bytes of the image.
    pub length: u64,
    /// SHA-256 of the image.
    pub digest: [u8; 32],
}

impl Payload {
    /// Describes what lies behind `offset` in `file`.
    pub fn of(file: &mut File, offset: u64) -> io::Result<Self> {
        file.seek(SeekFrom::Start(offset))?;
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; 1 << 20];
        let mut length = 0;
        loop {
            let read = file.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            hasher.update(&buffer[..read]);
            length += read as u64;
        }
        Ok(Self {
            offset,
            length,
            digest: hasher.finalize().into(),
        })
    }

    /// As it stands in the section.
    pub fn to_bytes(&self) -> [u8; SIZE] {
        let mut bytes = [0; SIZE];
        bytes[..8].copy_from_slice(&self.offset.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.length.to_le_bytes());
        bytes[16..].copy_from_slice(&self.digest);
        bytes
    }

    /// As the section says; nothing if no packer wrote there.
    pub fn from_bytes(bytes: &[u8; SIZE]) -> Option<Self> {
        let (offset, rest) = bytes.split_first_chunk()?;
        let (length, digest) = rest.split_first_chunk()?;
        let payload = Self {
            offset: u64::from_le_bytes(*offset),
            length: u64::from_le_bytes(*length),
            digest: digest.try_into().ok()?,
        };
        (payload.length > 0).then_some(payload)
    }

    /// The name of this version among others.
    pub fn name(&self) -> String {
        self.digest[..16]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A runtime without an image must say so rather than unpack nothing.
    #[test]
    fn a_payload_reads_back_and_an_unwritten_section_is_none() {
        let payload = Payload {
            offset: 1_234_567,
            length: 98_765_432,
            digest: std::array::from_fn(|byte| byte as u8),
        };
        assert_eq!(Payload::from_bytes(&payload.to_bytes()), Some(payload));
        assert_eq!(Payload::from_bytes(&[0; SIZE]), None);
        assert_eq!(payload.name(), "000102030405060708090a0b0c0d0e0f");
    }
}

//! The squashfs image behind the runtime.

use std::fs::{self, File, Permissions};
use std::io::{self, BufReader};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use backhand::{FilesystemReader, InnerNode, Node, SquashfsFileReader};

use crate::{At, Error, Result, payload::Payload};

/// A squashfs image that was opened.
pub struct Image {
    reader: FilesystemReader<'static>,
}

impl Image {
    /// Opens the image in `file`, reading only its list of files.
    pub fn open(file: File, payload: &Payload) -> Result<Self> {
        FilesystemReader::from_reader_with_offset(BufReader::new(file), payload.offset)
            .map(|reader| Self { reader })
            .map_err(|source| damaged(&source.to_string()))
    }

    /// Bytes of its files.
    pub fn size(&self) -> u64 {
        self.reader
            .files()
            .map(|node| match &node.inner {
                InnerNode::File(file) => file.file_len() as u64,
                _ => 0,
            })
            .sum()
    }

    /// Whether `folder` holds everything of it. Programs that clean caches remove single files.
    pub fn is_whole_in(&self, folder: &Path) -> bool {
        self.reader.files().all(|node| {
            let Ok(path) = inside(folder, node) else {
                return false;
            };
            fs::symlink_metadata(path).is_ok_and(|found| match &node.inner {
                InnerNode::File(file) => found.is_file() && found.len() == file.file_len() as u64,
                InnerNode::Symlink(_) => found.is_symlink(),
                _ => found.is_dir(),
            })
        })
    }

    /// Writes its files, or those below `only`, into `folder`, which need not exist.
    pub fn unpack(&self, folder: &Path, only: Option<&str>) -> Result<()> {
        let wanted = |node: &Node<SquashfsFileReader>| {
            only.is_none_or(|only| {
                node.fullpath
                    .strip_prefix("/")
                    .is_ok_and(|path| path.starts_with(only))
            })
        };
        fs::create_dir_all(folder).at("cannot make", folder)?;
        for node in self.reader.files().filter(|node| wanted(node)) {
            let path = inside(folder, node)?;
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent).at("cannot make", parent)?;
            }
            self.write(node, &path).at("cannot write", &path)?;
        }
        Ok(())
    }

    fn write(&self, node: &Node<SquashfsFileReader>, path: &Path) -> io::Result<()> {
        match &node.inner {
            InnerNode::Dir(_) => fs::create_dir_all(path),
            InnerNode::Symlink(to) => symlink(&to.link, path),
            InnerNode::File(file) => {
                let mut from = self
                    .reader
                    .file(file)
                    .reader_checked()
                    .map_err(io::Error::other)?;
                let mut to = File::create(path)?;
                let written = io::copy(&mut from, &mut to)?;
                if written != file.file_len() as u64 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                let mode = u32::from(node.header.permissions) & 0o755;
                fs::set_permissions(path, Permissions::from_mode(mode))
            }
            // The packer writes none.
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

/// Where a file of the image belongs; nothing in it may lead out of the folder.
fn inside(folder: &Path, node: &Node<SquashfsFileReader>) -> Result<PathBuf> {
    let path = node.fullpath.strip_prefix("/").unwrap_or(&node.fullpath);
    if path
        .components()
        .all(|part| matches!(part, Component::Normal(_)))
    {
        Ok(folder.join(path))
    } else {
        Err(damaged(&format!("it holds {}", path.display())))
    }
}

/// What cannot be read was cut short or changed on its way here.
pub fn damaged(how: &str) -> Error {
    Error::new(format!("this AppImage is damaged: {how}"))
        .hint("Download it again, and compare it with SHA256SUMS.")
}

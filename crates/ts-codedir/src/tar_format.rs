//! Headers of the archive: GNU tar, with long names as GNU writes them, and nothing that differs between two machines.
//!
//! Every `tar` on a worker (GNU, BusyBox, BSD) reads this. Which entries there are is decided in `scan.rs`; reading foreign
//! archives is in `unpack.rs`.

use crate::scan::{Entry, EntryKind};
use std::os::unix::ffi::OsStrExt;
use tar::{EntryType, Header};

/// Archives consist of blocks of this size.
pub(crate) const BLOCK: usize = 512;
/// Name of the pseudo entry that carries a long name, as GNU tar writes it.
const LONG_NAME: &[u8] = b"././@LongLink";
/// Bytes of a name that fit into a header.
const NAME_LEN: usize = 100;
/// 2000-01-01: fixed, so that equal trees give equal bytes; not 0, about which some `tar`s complain.
const MTIME: u64 = 946_684_800;

/// The blocks in front of the content of `entry`.
pub(crate) fn header(entry: &Entry) -> Vec<u8> {
    let mut blocks = Vec::with_capacity(BLOCK);
    let mut name = entry.path.as_os_str().as_bytes().to_vec();
    let mut link: &[u8] = &[];
    let (kind, mode, size) = match &entry.kind {
        EntryKind::File { size, executable } => (EntryType::Regular, if *executable { 0o755 } else { 0o644 }, *size),
        EntryKind::Directory => {
            name.push(b'/');
            (EntryType::Directory, 0o755, 0)
        }
        EntryKind::Symlink { target } => {
            link = target.as_os_str().as_bytes();
            (EntryType::Symlink, 0o777, 0)
        }
    };
    if link.len() > NAME_LEN {
        long_name(&mut blocks, EntryType::GNULongLink, link);
    }
    if name.len() > NAME_LEN {
        long_name(&mut blocks, EntryType::GNULongName, &name);
    }
    one_header(&mut blocks, kind, &name, link, mode, size);
    blocks
}

/// Zero bytes that fill the last block of a content of `size` bytes.
pub(crate) fn padding(size: u64) -> &'static [u8] {
    const ZEROS: [u8; BLOCK] = [0; BLOCK];
    let used = usize::try_from(size % BLOCK as u64).unwrap_or(0);
    &ZEROS[..(BLOCK - used) % BLOCK]
}

/// Two empty blocks end an archive.
pub(crate) const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

fn long_name(blocks: &mut Vec<u8>, kind: EntryType, name: &[u8]) {
    let size = name.len() as u64 + 1;
    one_header(blocks, kind, LONG_NAME, &[], 0o644, size);
    blocks.extend_from_slice(name);
    blocks.push(0);
    blocks.extend_from_slice(padding(size));
}

fn one_header(blocks: &mut Vec<u8>, kind: EntryType, name: &[u8], link: &[u8], mode: u32, size: u64) {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    let fields = header.as_old_mut();
    fill(&mut fields.name, name);
    fill(&mut fields.linkname, link);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(MTIME);
    header.set_size(size);
    header.set_cksum();
    blocks.extend_from_slice(header.as_bytes());
}

fn fill(field: &mut [u8; NAME_LEN], text: &[u8]) {
    let n = text.len().min(NAME_LEN);
    field[..n].copy_from_slice(&text[..n]);
}

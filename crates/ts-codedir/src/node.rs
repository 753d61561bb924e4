//! What one path of the tree is to a package: file, folder, link or something that cannot travel.
//!
//! Decides which links are kept and which are followed. Walking is in `scan.rs`.

use crate::scan::NoteKind;
use std::{
    fs, io,
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    path::{Component, Path, PathBuf},
    rc::Rc,
};

/// A part of the package whose relative links stay meaningful: the root, or a folder that an outside link led to.
#[derive(Debug)]
pub(crate) struct Region {
    /// Where it lies in the package.
    pub(crate) base: PathBuf,
    /// Where it lies on disk, without links.
    pub(crate) real: PathBuf,
}

/// The folders from the root down to here by identity, against loops.
#[derive(Debug)]
pub(crate) struct Ancestors {
    id: (u64, u64),
    parent: Option<Rc<Ancestors>>,
}

impl Ancestors {
    pub(crate) fn of(meta: &fs::Metadata, parent: Option<Rc<Self>>) -> Rc<Self> {
        Rc::new(Self {
            id: (meta.dev(), meta.ino()),
            parent,
        })
    }

    fn contains(&self, meta: &fs::Metadata) -> bool {
        let id = (meta.dev(), meta.ino());
        std::iter::successors(Some(self), |a| a.parent.as_deref()).any(|a| a.id == id)
    }
}

/// Place of a path: where its links may lead and which folders enclose it.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) region: Rc<Region>,
    pub(crate) ancestors: Rc<Ancestors>,
}

impl Place {
    /// The code directory itself.
    pub(crate) fn root(root: &Path) -> io::Result<Self> {
        let region = Region {
            base: PathBuf::new(),
            real: fs::canonicalize(root)?,
        };
        Ok(Self {
            ancestors: Ancestors::of(&fs::metadata(root)?, None),
            region: Rc::new(region),
        })
    }
}

#[derive(Debug)]
pub(crate) enum Node {
    File {
        size: u64,
        executable: bool,
    },
    /// `followed`: an outside link led here.
    Directory {
        place: Place,
        followed: bool,
    },
    /// `dead`: leads nowhere outside the tree.
    Link {
        target: PathBuf,
        dead: bool,
    },
    /// Cannot travel.
    Unfit(NoteKind),
}

/// Classifies `path`, relative to `root`, without looking at ignore rules.
pub(crate) fn classify(root: &Path, path: &Path, meta: &fs::Metadata, place: &Place) -> io::Result<Node> {
    if !meta.is_symlink() {
        return Ok(plain(meta, place.region.clone(), place, false));
    }
    let full = root.join(path);
    let target = fs::read_link(&full)?;
    let inner = path.strip_prefix(&place.region.base).unwrap_or(path);
    let folder = inner.parent().unwrap_or(Path::new(""));
    if stays_inside(folder, &target) {
        return Ok(Node::Link { target, dead: false });
    }
    // A link that leads nowhere here may lead somewhere on the worker, so it never ends an experiment.
    let Ok(real) = fs::canonicalize(&full) else {
        return Ok(Node::Link { target, dead: true });
    };
    if let Ok(inside) = real.strip_prefix(&place.region.real) {
        return Ok(Node::Link {
            target: relative_link(folder, inside),
            dead: false,
        });
    }
    let region = Rc::new(Region {
        base: path.to_owned(),
        real,
    });
    Ok(plain(&fs::metadata(&full)?, region, place, true))
}

fn plain(meta: &fs::Metadata, region: Rc<Region>, place: &Place, followed: bool) -> Node {
    let kind = meta.file_type();
    if kind.is_file() {
        Node::File {
            size: meta.len(),
            executable: meta.permissions().mode() & 0o111 != 0,
        }
    } else if kind.is_dir() {
        if place.ancestors.contains(meta) {
            return Node::Unfit(NoteKind::Loop);
        }
        let ancestors = Ancestors::of(meta, Some(place.ancestors.clone()));
        Node::Directory {
            place: Place { region, ancestors },
            followed,
        }
    } else if kind.is_fifo() {
        Node::Unfit(NoteKind::Fifo)
    } else if kind.is_socket() {
        Node::Unfit(NoteKind::Socket)
    } else {
        Node::Unfit(NoteKind::Device)
    }
}

/// Whether a link in `folder` with this target never climbs above the top on its way. By names alone.
fn stays_inside(folder: &Path, target: &Path) -> bool {
    let mut depth = folder.components().count();
    for part in target.components() {
        match part {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir if depth > 0 => depth -= 1,
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return false,
        }
    }
    true
}

fn relative_link(folder: &Path, inside: &Path) -> PathBuf {
    let mut link: PathBuf = folder.components().map(|_| Component::ParentDir).collect();
    link.push(inside);
    if link.as_os_str().is_empty() {
        PathBuf::from(".")
    } else {
        link
    }
}

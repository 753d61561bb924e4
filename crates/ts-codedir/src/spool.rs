//! The package of an experiment on our own disk: written when the first machine needs it, read by every delivery, also while
//! it is being written.
//!
//! It is kept as long as the experiment, so that a machine that comes late gets the same bytes.

use crate::{CodePackage, Compression};
use bytes::Bytes;
use std::{
    fs::{self, File},
    io::{self, Read, Seek as _, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};
use tokio::sync::{mpsc, watch};
use ts_core::{CodeDirectory, Ctx, Error, ErrorKind, Result, TaskScope};

/// Folder of the packages in the experiment's directory.
pub const PACKAGES: &str = "code";
/// Bytes of a piece.
const PIECE: usize = 256 * 1024;

/// A package: to be written, being written, or complete.
#[derive(Debug)]
pub struct Spool {
    digest: String,
    /// Length of the archive before compression.
    archive_bytes: u64,
    path: PathBuf,
    package: CodePackage,
    /// How far its file is, once somebody needs it.
    packing: Mutex<Option<watch::Receiver<Written>>>,
    is_old: bool,
}

/// How far the writer is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Written {
    /// It has written so many bytes.
    UpTo(u64),
    /// All of it is there.
    Complete,
    /// It could not be packed, because.
    Failed(String),
}

/// A part of the package.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "whoever delivers must tell the end from a cut")]
pub enum Piece {
    /// The next bytes.
    Bytes(Bytes),
    /// There was no more; without it the package was cut off.
    End,
}

impl Spool {
    /// Scans the directory and notes that its content belongs to the experiment; nothing is packed yet.
    pub async fn new(ctx: &Ctx, code: &CodeDirectory) -> Result<Self> {
        let code = code.clone();
        let scanned = ctx.tasks.blocking(move || {
            let package = crate::scan(&code)?;
            let summary = crate::pack(&package, Compression::None, io::sink())?;
            Ok::<_, Error>((package, summary))
        });
        let (package, summary) = scanned.await?;
        let digest = summary.digest.to_string();
        let folder = ctx.work_dir.join(PACKAGES);
        fs::create_dir_all(&folder).map_err(|e| Error::io("make", &folder, e))?;
        let is_old = is_known(&ctx.work_dir, &digest);
        let path = path(&ctx.work_dir, &digest);
        if !is_old {
            let note = note(&path);
            File::create(&note).map_err(|e| Error::io("make", &note, e))?;
        }
        Ok(Self {
            digest,
            archive_bytes: summary.tar_bytes,
            path,
            package,
            packing: Mutex::default(),
            is_old,
        })
    }

    /// Has the package written, unless it is or is being; a failed try is made again.
    pub fn pack(&self, tasks: &TaskScope) -> watch::Receiver<Written> {
        let mut packing = self.packing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(written) = packing.as_ref()
            && !matches!(*written.borrow(), Written::Failed(_))
        {
            return written.clone();
        }
        let (sender, written) = watch::channel(Written::UpTo(0));
        *packing = Some(written.clone());
        // The draft is made before the first reader opens it.
        let draft = draft(&self.path);
        if self.path.is_file() {
            sender.send_replace(Written::Complete);
        } else {
            match File::create(&draft) {
                Err(e) => drop(sender.send_replace(Written::Failed(Error::io("make", &draft, e).to_string()))),
                Ok(file) => {
                    let (package, to, digest) = (self.package.clone(), self.path.clone(), self.digest.clone());
                    let blocking = tasks.clone();
                    tasks.spawn(async move {
                        blocking
                            .blocking(move || write(&package, &digest, file, &to, &sender))
                            .await;
                    });
                }
            }
        }
        written
    }

    /// Digest of its content.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Length of the package before compression, which is what [`Spool::read`] gives decompressed.
    pub fn archive_bytes(&self) -> u64 {
        self.archive_bytes
    }

    /// Length of the package once it is complete.
    pub fn packed_bytes(&self) -> Option<u64> {
        fs::metadata(&self.path).ok().map(|meta| meta.len())
    }

    /// Whether this very content belonged to this experiment before.
    pub fn is_old(&self) -> bool {
        self.is_old
    }

    /// Reads the archive from its beginning: from the package if it is or is being written, else straight from the directory.
    ///
    /// For a delivery that is the only one: nothing is kept for a later one. If the directory was changed, the last piece is
    /// an error.
    pub fn read_once(&self, tasks: &TaskScope) -> mpsc::Receiver<Result<Piece>> {
        let packing = self.packing.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        if packing || self.path.is_file() {
            return self.read(true, tasks);
        }
        let (pieces, receiver) = mpsc::channel(8);
        let (package, digest) = (self.package.clone(), self.digest.clone());
        let tasks_of = tasks.clone();
        tasks.spawn(async move {
            tasks_of.blocking(move || archive(&package, &digest, &pieces)).await;
        });
        receiver
    }

    /// Reads the package from its beginning, decompressed if asked; pieces wait for their reader.
    pub fn read(&self, decompress: bool, tasks: &TaskScope) -> mpsc::Receiver<Result<Piece>> {
        let (pieces, receiver) = mpsc::channel(8);
        let follower = Follower {
            path: self.path.clone(),
            written: self.pack(tasks),
            file: None,
            offset: 0,
        };
        let tasks_of = tasks.clone();
        tasks.spawn(async move {
            tasks_of.blocking(move || follow(follower, decompress, &pieces)).await;
        });
        receiver
    }
}

/// Where a complete package is kept.
fn path(work_dir: &Path, digest: &str) -> PathBuf {
    work_dir
        .join(PACKAGES)
        .join(format!("{}.tar.zst", digest.replace([':', '/'], "-")))
}

/// Whether code of this digest belongs to the experiment.
pub fn is_known(work_dir: &Path, digest: &str) -> bool {
    let path = path(work_dir, digest);
    path.is_file() || note(&path).is_file()
}

/// An empty file that says that the package belongs to the experiment, whether it was needed or not.
fn note(path: &Path) -> PathBuf {
    path.with_extension("known")
}

fn draft(path: &Path) -> PathBuf {
    path.with_extension("part")
}

fn write(package: &CodePackage, digest: &str, file: File, path: &Path, written: &watch::Sender<Written>) {
    let out = Telling {
        file,
        n_bytes: 0,
        written,
    };
    let packed = crate::pack(package, Compression::Zstd, out).and_then(|packed| {
        if packed.digest.as_str() != digest {
            return Err(changed());
        }
        fs::rename(draft(path), path).map_err(|e| Error::io("put in place", path, e))
    });
    written.send_replace(match packed {
        Ok(()) => Written::Complete,
        Err(error) => {
            tracing::warn!(%error, "the code could not be packed");
            Written::Failed(error.to_string())
        }
    });
}

fn archive(package: &CodePackage, digest: &str, pieces: &mpsc::Sender<Result<Piece>>) {
    let out = io::BufWriter::with_capacity(PIECE, Sending { pieces });
    let packed = crate::pack(package, Compression::None, out).and_then(|packed| {
        if packed.digest.as_str() == digest {
            Ok(Piece::End)
        } else {
            Err(changed())
        }
    });
    // Nobody hears it if the delivery was given up.
    let _ = pieces.blocking_send(packed);
}

/// Gives what is written as pieces.
struct Sending<'a> {
    pieces: &'a mpsc::Sender<Result<Piece>>,
}

impl Write for Sending<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let piece = Piece::Bytes(Bytes::copy_from_slice(bytes));
        let given_up = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        self.pieces.blocking_send(Ok(piece)).map_err(given_up)?;
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// That there is no way back to the code with which the experiment began.
fn changed() -> Error {
    Error::new(
        ErrorKind::CodeDir,
        "the code directory was changed after the experiment began and before its code was packed",
    )
    .with_key("trialCodeDirectory")
    .with_help("put the old content back, or start a new experiment")
}

/// A file that tells how long it is.
struct Telling<'a> {
    file: File,
    n_bytes: u64,
    written: &'a watch::Sender<Written>,
}

impl Write for Telling<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.file.write(bytes)?;
        self.n_bytes += n as u64;
        self.written.send_replace(Written::UpTo(self.n_bytes));
        Ok(n)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn follow(follower: Follower, decompress: bool, pieces: &mpsc::Sender<Result<Piece>>) {
    let path = follower.path.clone();
    let result = if decompress {
        zstd::Decoder::new(follower).and_then(|decoder| pump(decoder, pieces))
    } else {
        pump(follower, pieces)
    };
    let last = match result {
        Ok(()) => Ok(Piece::End),
        Err(e) => Err(match e.downcast::<Error>() {
            Ok(error) => error,
            Err(e) => Error::io("read the package in", &path, e),
        }),
    };
    let _ = pieces.blocking_send(last);
}

fn pump(mut from: impl Read, pieces: &mpsc::Sender<Result<Piece>>) -> io::Result<()> {
    loop {
        let mut buffer = vec![0; PIECE];
        let n = from.read(&mut buffer)?;
        if n == 0 {
            return Ok(());
        }
        buffer.truncate(n);
        if pieces.blocking_send(Ok(Piece::Bytes(buffer.into()))).is_err() {
            return Ok(()); // the delivery was given up
        }
    }
}

/// Reads a package while it grows.
struct Follower {
    path: PathBuf,
    written: watch::Receiver<Written>,
    file: Option<File>,
    offset: u64,
}

impl Read for Follower {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let written = self.written.borrow_and_update().clone();
            if let Written::Failed(why) = &written {
                return Err(io::Error::other(Error::new(ErrorKind::CodeDir, why.clone())));
            }
            let file = if let Some(file) = &mut self.file {
                file
            } else {
                let open = File::open(draft(&self.path)).or_else(|_| File::open(&self.path))?;
                self.file.insert(open)
            };
            file.seek(SeekFrom::Start(self.offset))?;
            let n = file.read(buffer)?;
            self.offset += n as u64;
            if n > 0 || written == Written::Complete {
                return Ok(n);
            }
            // This thread is for waiting: the writer's news arrives on another one.
            let news = tokio::runtime::Handle::current().block_on(self.written.changed());
            news.map_err(|_| io::Error::other(Error::new(ErrorKind::CodeDir, "packing the code was broken off")))?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn code_that_changed_before_it_was_packed_is_refused_and_the_old_one_packed_later() {
        let dir = tempfile::tempdir().expect("a folder");
        let code = dir.path().join("code");
        fs::create_dir(&code).expect("room");
        fs::write(code.join("a.py"), "old").expect("room");
        let ctx = Ctx::new(dir.path().join("work"));
        let spool = Spool::new(&ctx, &CodeDirectory::new(&code)).await.expect("scanned");
        assert!(!spool.is_old() && is_known(&ctx.work_dir, spool.digest()));
        fs::write(code.join("a.py"), "new").expect("room");
        let mut pieces = spool.read(false, &ctx.tasks);
        let error = loop {
            match pieces.recv().await.expect("an end") {
                Ok(Piece::Bytes(_)) => {}
                Ok(Piece::End) => panic!("other code was delivered"),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::CodeDir, "{error}");
        fs::write(code.join("a.py"), "old").expect("room");
        let mut written = spool.pack(&ctx.tasks);
        let end = written
            .wait_for(|w| !matches!(w, Written::UpTo(_)))
            .await
            .expect("a writer")
            .clone();
        assert_eq!(end, Written::Complete);
        let again = Spool::new(&ctx, &CodeDirectory::new(&code)).await.expect("scanned");
        assert!(again.is_old());
    }

    #[tokio::test]
    async fn an_archive_of_a_directory_that_changed_has_no_end() {
        let dir = tempfile::tempdir().expect("a folder");
        fs::write(dir.path().join("a.py"), "old").expect("room");
        let ctx = Ctx::new(dir.path().join("work"));
        let code = CodeDirectory::new(dir.path());
        let spool = Spool::new(&ctx, &code).await.expect("scanned");
        fs::write(dir.path().join("a.py"), "new").expect("room");
        let mut pieces = spool.read_once(&ctx.tasks);
        let mut last = None;
        while let Some(piece) = pieces.recv().await {
            last = Some(piece);
        }
        let error = last.expect("a piece").expect_err("another content");
        assert_eq!(error.kind(), ErrorKind::CodeDir, "{error}");
    }

    #[tokio::test]
    async fn every_reader_gets_the_whole_package_in_both_forms() {
        let dir = tempfile::tempdir().expect("a folder");
        let code = dir.path().join("code");
        fs::create_dir(&code).expect("room");
        for n in 0..50 {
            fs::write(code.join(format!("f{n}")), vec![n; 20_000]).expect("room");
        }
        let ctx = Ctx::new(dir.path().join("work"));
        let mut seen = Vec::new();
        for _ in 0..2 {
            let spool = Spool::new(&ctx, &CodeDirectory::new(&code)).await.expect("packed");
            let tasks = &ctx.tasks;
            for way in ["once", "packed", "unpacked", "once"] {
                let mut pieces = match way {
                    "once" => spool.read_once(tasks),
                    other => spool.read(other == "unpacked", tasks),
                };
                let mut bytes = Vec::new();
                while let Piece::Bytes(piece) = pieces.recv().await.expect("an end").expect("readable") {
                    bytes.extend_from_slice(&piece);
                }
                if way == "packed" {
                    bytes = zstd::decode_all(&*bytes).expect("zstd");
                }
                assert_eq!(bytes.len() as u64, spool.archive_bytes());
                seen.push(bytes);
            }
        }
        assert!(seen[0].len() > 1_000_000);
        assert!(seen.windows(2).all(|pair| pair[0] == pair[1]));
    }
}

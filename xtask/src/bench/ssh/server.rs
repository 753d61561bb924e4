//! An OpenSSH server of our own on the loopback interface, and what OpenSSH's own programs do with it.

use crate::shell;
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command},
    thread,
    time::Duration,
};

/// A server with a key that opens it; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Server {
    folder: PathBuf,
    port: u16,
    process: Child,
}

impl Server {
    /// Starts one whose files are in `folder`.
    ///
    /// # Errors
    /// If a program is missing, or the server does not listen within ten seconds.
    pub(super) fn start(folder: &Path) -> Result<Self> {
        super::fresh(folder)?;
        for name in ["host_key", "key"] {
            let mut keygen = Command::new("ssh-keygen");
            keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]);
            shell::output(keygen.arg(folder.join(name)))?;
        }
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {0}/host_key\nAuthorizedKeysFile {0}/key.pub\nStrictModes no\n\
             UsePAM no\nPidFile none\n",
            folder.display()
        );
        fs::write(folder.join("sshd_config"), config)?;
        // Only root's server needs it, and only root can make it.
        let _ = fs::create_dir("/run/sshd");
        let mut server = Command::new("/usr/sbin/sshd");
        server.args(["-D", "-f"]).arg(folder.join("sshd_config"));
        server.arg("-E").arg(folder.join("sshd.log"));
        let process = server.spawn().context("cannot start `/usr/sbin/sshd`")?;
        let server = Self {
            folder: folder.to_owned(),
            port,
            process,
        };
        server.listens()?;
        Ok(server)
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "another process has no other clock than the machine's"
    )]
    fn listens(&self) -> Result<()> {
        for _ in 0..200 {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(50));
        }
        bail!(
            "the server does not listen:\n{}",
            fs::read_to_string(self.folder.join("sshd.log"))?
        );
    }

    /// Where experiments live on the machine.
    fn machine(&self) -> PathBuf {
        self.folder.join("machine")
    }

    /// Its entry of `machineList`.
    pub(super) fn entry(&self) -> Value {
        json!({
            "host": "127.0.0.1",
            "port": self.port,
            "sshKeyFile": self.folder.join("key"),
            "hostKeyPolicy": "off",
            "directory": self.machine(),
        })
    }

    /// Removes everything that was brought to the machine.
    pub(super) fn forget(&self) -> Result<()> {
        super::fresh(&self.machine())?;
        shell::output(&mut Command::new("sync")).map(drop)
    }

    /// Runs a command there by OpenSSH's client.
    pub(super) fn ssh(&self, command: &str) -> Result<()> {
        let line = format!("{} 127.0.0.1 {command}", self.client());
        shell::output(Command::new("sh").args(["-c", &line])).map(drop)
    }

    /// Brings a folder there by a pipe, to a place where nothing is.
    pub(super) fn tar_zstd(&self, folder: &Path) -> Result<()> {
        let to = self.machine().join("by-tar");
        let line = format!(
            "tar -cf - -C '{from}' . | zstd -q -1 -T2 | {ssh} 127.0.0.1 \"mkdir '{to}' && zstd -dcq | tar -xf - -C '{to}'\"",
            from = folder.display(),
            ssh = self.client(),
            to = to.display(),
        );
        shell::output(Command::new("sh").args(["-c", &line])).map(drop)
    }

    /// Brings a folder there by `rsync`, or what of it has changed.
    pub(super) fn rsync(&self, folder: &Path) -> Result<()> {
        let mut rsync = Command::new("rsync");
        rsync.args(["--archive", "--rsh", &self.client()]);
        rsync.arg(format!("{}/", folder.display()));
        rsync.arg(format!("127.0.0.1:{}", self.machine().join("by-rsync").display()));
        shell::output(&mut rsync).map(drop)
    }

    fn client(&self) -> String {
        format!(
            "ssh -F none -p {} -i {}/key -o IdentitiesOnly=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR",
            self.port,
            self.folder.display()
        )
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

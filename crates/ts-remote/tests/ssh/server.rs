//! An SSH server in this process, as strict as OpenSSH where our client could tell: commands are really run, by the login
//! shell, in an environment of their own; channels and tries are limited; nothing is offered that sshd would not offer.
//!
//! Faults are made on command: connections cut, a server that is gone and returns on the same port.

use russh::{
    Channel, ChannelId, ChannelMsg, ChannelReadHalf, ChannelWriteHalf, MethodKind, MethodSet,
    keys::{Algorithm, PrivateKey, PublicKey},
    server::{self, Auth, ChannelOpenHandle, Handler, Msg, Response, Session, VerifiedPublicKey},
};
use std::{
    collections::HashMap,
    net::SocketAddr,
    path::PathBuf,
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    task::JoinHandle,
};
use ts_testkit::ReservedPort;

/// The only user.
pub(crate) const USER: &str = "worker";

/// What the server is like.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    pub(crate) home: PathBuf,
    /// Runs commands by `-c`.
    pub(crate) shell: Vec<String>,
    pub(crate) password: Option<String>,
    /// Whether the method `password` takes it, or only questions do, as where PAM asks.
    pub(crate) only_asks: bool,
    pub(crate) authorized: Vec<PublicKey>,
    /// Channels that a connection may have at a time (sshd_config(5), `MaxSessions`).
    pub(crate) max_sessions: usize,
    pub(crate) allow_forwarding: bool,
}

impl Setting {
    pub(crate) fn new(home: impl Into<PathBuf>) -> Self {
        Self {
            home: home.into(),
            shell: vec!["/bin/sh".into()],
            password: None,
            only_asks: false,
            authorized: Vec::new(),
            max_sessions: 10,
            allow_forwarding: true,
        }
    }
}

/// A running server.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    /// Nobody else is given the port while the server is gone.
    _port: ReservedPort,
    host_key: PrivateKey,
    shared: Arc<Shared>,
    accepting: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    setting: Setting,
    n_connections: AtomicUsize,
    n_channels: AtomicUsize,
    /// Pieces of data that clients have sent to commands.
    n_pieces: AtomicUsize,
    /// One task per connection; aborting it drops its socket.
    connections: Mutex<Vec<JoinHandle<()>>>,
    /// Every byte that clients have sent to commands, and the commands.
    heard: Mutex<Vec<u8>>,
}

#[expect(
    clippy::disallowed_methods,
    reason = "the server is a world of its own: no `Ctx` is in it"
)]
fn spawn(task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    tokio::spawn(task)
}

impl Server {
    /// Starts a server on a free port of the loopback interface.
    pub(crate) async fn start(setting: Setting) -> Self {
        let host_key = PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519).expect("randomness");
        let port = ReservedPort::new().expect("a free port");
        let listener = TcpListener::bind(port.address()).await.expect("our own port");
        let server = Self {
            address: port.address(),
            _port: port,
            host_key,
            shared: Arc::new(Shared {
                setting,
                n_connections: AtomicUsize::new(0),
                n_channels: AtomicUsize::new(0),
                n_pieces: AtomicUsize::new(0),
                connections: Mutex::default(),
                heard: Mutex::default(),
            }),
            accepting: Mutex::default(),
        };
        server.accept(listener);
        server
    }

    fn accept(&self, listener: TcpListener) {
        let mut methods = MethodSet::empty();
        if self.shared.setting.password.is_some() {
            if !self.shared.setting.only_asks {
                methods.push(MethodKind::Password);
            }
            methods.push(MethodKind::KeyboardInteractive);
        }
        methods.push(MethodKind::PublicKey);
        let config = Arc::new(server::Config {
            keys: vec![self.host_key.clone()],
            methods,
            max_auth_attempts: 6,
            auth_rejection_time: Duration::from_millis(20),
            auth_rejection_time_initial: Some(Duration::ZERO),
            nodelay: true,
            ..Default::default()
        });
        let shared = Arc::clone(&self.shared);
        let task = spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                shared.n_connections.fetch_add(1, Ordering::Relaxed);
                let connection = serve(Arc::clone(&config), Arc::clone(&shared), stream);
                shared.connections.lock().expect("no panic").push(spawn(connection));
            }
        });
        *self.accepting.lock().expect("no panic") = Some(task);
    }

    /// Cuts every connection without a word; new ones are taken.
    pub(crate) fn cut(&self) {
        for connection in self.shared.connections.lock().expect("no panic").drain(..) {
            connection.abort();
        }
    }

    /// Goes away: nothing is connected, nothing is taken.
    pub(crate) async fn stop(&self) {
        let task = self.accepting.lock().expect("no panic").take();
        if let Some(task) = task {
            task.abort();
            let _ = task.await; // the listener is gone with it
        }
        self.cut();
    }

    /// Comes back on the same port.
    pub(crate) async fn restart(&self) {
        self.stop().await;
        self.accept(TcpListener::bind(self.address).await.expect("our own port"));
    }

    /// The line of a known-hosts file.
    pub(crate) fn known_host(&self) -> String {
        let key = self.host_key.public_key().to_openssh().expect("a key");
        format!("[{}]:{} {key}\n", self.address.ip(), self.address.port())
    }

    pub(crate) fn n_connections(&self) -> usize {
        self.shared.n_connections.load(Ordering::Relaxed)
    }

    pub(crate) fn n_channels(&self) -> usize {
        self.shared.n_channels.load(Ordering::Relaxed)
    }

    pub(crate) fn n_pieces(&self) -> usize {
        self.shared.n_pieces.load(Ordering::Relaxed)
    }

    /// Whether a text ever arrived at a command.
    pub(crate) fn has_heard(&self, text: &str) -> bool {
        let heard = self.shared.heard.lock().expect("no panic");
        heard.windows(text.len()).any(|window| window == text.as_bytes())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(task) = self.accepting.lock().expect("no panic").take() {
            task.abort();
        }
        self.cut();
    }
}

async fn serve(config: Arc<server::Config>, shared: Arc<Shared>, stream: TcpStream) {
    let client = Client {
        shared,
        open: Arc::default(),
        channels: HashMap::new(),
        tasks: Tasks::default(),
    };
    if let Ok(session) = server::run_stream(config, stream, client).await {
        // Dropped with this task, the session would go on: it is ended by hand.
        struct Ending(server::Handle);
        impl Drop for Ending {
            fn drop(&mut self) {
                let handle = self.0.clone();
                spawn(async move {
                    let _ = handle
                        .disconnect(russh::Disconnect::ByApplication, String::new(), String::new())
                        .await;
                });
            }
        }
        let _ending = Ending(session.handle());
        let _ = session.await;
    }
}

/// Tasks that end with their connection.
#[derive(Default)]
struct Tasks(Vec<JoinHandle<()>>);

impl Drop for Tasks {
    fn drop(&mut self) {
        for task in &self.0 {
            task.abort();
        }
    }
}

struct Client {
    shared: Arc<Shared>,
    open: Arc<AtomicUsize>,
    channels: HashMap<ChannelId, Channel<Msg>>,
    tasks: Tasks,
}

impl Client {
    fn knows(&self, user: &str, password: &str) -> bool {
        user == USER && self.shared.setting.password.as_deref() == Some(password)
    }
}

impl Handler for Client {
    type Error = russh::Error;

    async fn auth_password(&mut self, user: &str, password: &str) -> Result<Auth, Self::Error> {
        let is_right = !self.shared.setting.only_asks && self.knows(user, password);
        Ok(if is_right { Auth::Accept } else { Auth::reject() })
    }

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        user: &str,
        _submethods: &str,
        response: Option<Response<'a>>,
    ) -> Result<Auth, Self::Error> {
        let Some(mut answers) = response else {
            return Ok(Auth::Partial {
                name: "".into(),
                instructions: "".into(),
                prompts: vec![("Password: ".into(), false)].into(),
            });
        };
        let is_right = answers
            .next()
            .is_some_and(|answer| self.knows(user, &String::from_utf8_lossy(&answer)));
        Ok(if is_right { Auth::Accept } else { Auth::reject() })
    }

    async fn auth_publickey(&mut self, user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Self::Error> {
        let is_known = self
            .shared
            .setting
            .authorized
            .iter()
            .any(|known| known.key_data() == key.public_key.key_data());
        Ok(if user == USER && is_known {
            Auth::Accept
        } else {
            Auth::reject()
        })
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        if self.open.load(Ordering::Acquire) < self.shared.setting.max_sessions {
            self.open.fetch_add(1, Ordering::AcqRel);
            self.shared.n_channels.fetch_add(1, Ordering::Relaxed);
            self.channels.insert(channel.id(), channel);
            reply.accept().await;
        }
        Ok(()) // a handle that was not used refuses
    }

    async fn channel_open_direct_tcpip(
        &mut self,
        channel: Channel<Msg>,
        host: &str,
        port: u32,
        _originator: &str,
        _originator_port: u32,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        let port = u16::try_from(port).unwrap_or_default();
        if self.shared.setting.allow_forwarding
            && let Ok(mut stream) = TcpStream::connect((host, port)).await
        {
            reply.accept().await;
            self.tasks.0.push(spawn(async move {
                let mut channel = channel.into_stream();
                let _ = tokio::io::copy_bidirectional(&mut channel, &mut stream).await;
            }));
        }
        Ok(())
    }

    async fn exec_request(&mut self, id: ChannelId, command: &[u8], session: &mut Session) -> Result<(), Self::Error> {
        let Some(channel) = self.channels.remove(&id) else {
            return session.channel_failure(id);
        };
        self.shared.heard.lock().expect("no panic").extend_from_slice(command);
        let command = String::from_utf8_lossy(command).into_owned();
        match run(&self.shared.setting, &command) {
            Ok(child) => {
                session.channel_success(id)?;
                let (shared, open) = (Arc::clone(&self.shared), Arc::clone(&self.open));
                self.tasks.0.push(spawn(async move {
                    pump(channel, child, &shared).await;
                    open.fetch_sub(1, Ordering::AcqRel);
                }));
            }
            Err(_) => session.channel_failure(id)?,
        }
        Ok(())
    }
}

/// As sshd does without a terminal: the login shell, a clean environment, no controlling terminal of ours.
fn run(setting: &Setting, command: &str) -> std::io::Result<Child> {
    let (shell, arguments) = setting.shell.split_first().expect("a shell");
    Command::new(shell)
        .args(arguments)
        .args(["-c", command])
        .env_clear()
        .env("HOME", &setting.home)
        .env("USER", USER)
        .env("LOGNAME", USER)
        .env("SHELL", shell)
        .env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/games")
        .env("SSH_CONNECTION", "127.0.0.1 1 127.0.0.1 22")
        .current_dir(if setting.home.is_dir() {
            setting.home.as_path()
        } else {
            "/".as_ref()
        })
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
}

async fn pump(channel: Channel<Msg>, mut child: Child, shared: &Shared) {
    let (reader, writer) = channel.split();
    let stdin = child.stdin.take().expect("piped");
    let (mut stdout, mut stderr) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
    let outputs = async {
        tokio::join!(
            async {
                let mut buffer = vec![0; 32 * 1024];
                while let Ok(n @ 1..) = stdout.read(&mut buffer).await {
                    if writer.data(&buffer[..n]).await.is_err() {
                        break;
                    }
                }
            },
            async {
                let mut buffer = vec![0; 32 * 1024];
                while let Ok(n @ 1..) = stderr.read(&mut buffer).await {
                    if writer.extended_data(1, &buffer[..n]).await.is_err() {
                        break;
                    }
                }
            }
        );
    };
    let input = input(reader, stdin, shared);
    tokio::pin!(input);
    tokio::select! {
        () = outputs => {}
        // The channel was closed: what runs on loses its ends, and is not killed.
        () = &mut input => return,
    }
    end(&writer, &mut child).await;
}

async fn input(mut reader: ChannelReadHalf, stdin: tokio::process::ChildStdin, shared: &Shared) {
    let mut stdin = Some(stdin);
    while let Some(message) = reader.wait().await {
        match message {
            ChannelMsg::Data { data } => {
                shared.n_pieces.fetch_add(1, Ordering::Relaxed);
                shared.heard.lock().expect("no panic").extend_from_slice(&data);
                if let Some(pipe) = &mut stdin
                    && pipe.write_all(&data).await.is_err()
                {
                    stdin = None;
                }
            }
            ChannelMsg::Eof => stdin = None,
            ChannelMsg::Close => return,
            _ => {}
        }
    }
}

async fn end(writer: &ChannelWriteHalf<Msg>, child: &mut Child) {
    let status = child.wait().await.ok().and_then(|status| status.code());
    let code = status.and_then(|code| u32::try_from(code).ok()).unwrap_or(255);
    let _ = writer.eof().await;
    let _ = writer.exit_status(code).await;
    let _ = writer.close().await;
}

//! The life of one dispatcher process: starting it, the first exchange, its end.
//!
//! What is asked and told in between belongs to `dispatcher`.

use crate::{
    link::{Link, Listener},
    message::{ERROR, INITIALIZE, INITIALIZED, Message, TERMINATE},
    process::{Process, Start},
    python::Installation,
    release::{Protocol, Release},
    spec::NniSpec,
};
use std::time::Duration;
use ts_core::{Clock, Error, ErrorKind, Result};

/// Longest time that a dispatcher gets to end by itself. Its threads look only every 3 s whether they should.
const LAST_WISH: Duration = Duration::from_secs(10);
/// Longest time between the end of the channel and that of the process, and the other way round.
const AFTERMATH: Duration = Duration::from_secs(5);

/// A dispatcher that has taken the search space.
#[derive(Debug)]
pub(crate) struct Life {
    process: Process,
    link: Link,
    pub(crate) release: Release,
}

impl Life {
    /// Starts a process and waits until it is ready, however long its imports take.
    ///
    /// # Errors
    /// `Io` if it cannot be started; `Config` with its last words if it ends before it is ready.
    pub(crate) async fn begin(
        spec: &NniSpec,
        installation: &Installation,
        is_resumed: bool,
        clock: &dyn Clock,
    ) -> Result<Self> {
        let release = installation.release;
        let protocol = release.protocol();
        let listener = match protocol {
            Protocol::Frames => None,
            Protocol::Text | Protocol::Json => Some(Listener::open().await?),
        };
        let url = listener.as_ref().map(Listener::url).transpose()?;
        let (mut process, socket) = Process::start(&Start {
            installation,
            spec,
            url: url.as_deref(),
            is_resumed,
        })?;
        let link = match (listener, socket) {
            (None, Some(socket)) => Link::frames(socket)?,
            (Some(listener), None) => tokio::select! {
                accepted = listener.accept(clock) => match protocol {
                    Protocol::Json => Link::Json(accepted?),
                    _ => Link::Text(accepted?),
                },
                _ = process.ended() => return Err(not_begun(spec, &process, None)),
            },
            _ => {
                return Err(Error::new(
                    ErrorKind::Internal,
                    "a dispatcher has either a socket or a listener",
                ));
            }
        };
        let mut life = Self { process, link, release };
        // A dispatcher that is gone already says why in its log.
        if life
            .link
            .send(&Message::new(INITIALIZE, spec.search_space.to_string()))
            .await
            .is_ok()
        {
            loop {
                match life.receive(clock).await {
                    Ok(Some(message)) if message.code == INITIALIZED => return Ok(life),
                    Ok(Some(message)) if message.code == ERROR => {
                        return Err(not_begun(spec, &life.process, Some(message.content)));
                    }
                    Ok(Some(_)) => {}
                    Ok(None) | Err(_) => break,
                }
            }
        }
        let Self { mut process, link, .. } = life;
        drop(link);
        wait(&mut process, clock).await;
        Err(not_begun(spec, &process, None))
    }

    /// Sends a message.
    pub(crate) async fn send(&mut self, message: &Message) -> Result<()> {
        self.link.send(message).await
    }

    /// The next message; `None` when the dispatcher has ended.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub(crate) async fn receive(&mut self, clock: &dyn Clock) -> Result<Option<Message>> {
        tokio::select! {
            biased;
            message = self.link.receive() => return message,
            _ = self.process.ended() => {}
        }
        // What it sent before its end is still there; a process of its own may hold the channel open.
        tokio::select! {
            message = self.link.receive() => message,
            () = clock.sleep(Duration::from_millis(500)) => Ok(None),
        }
    }

    /// Why it has ended although nobody asked it to.
    pub(crate) async fn cause_of_death(self, spec: &NniSpec, clock: &dyn Clock, said: Option<String>) -> Error {
        let Self { mut process, link, .. } = self;
        // It waits for that before it ends.
        drop(link);
        let status = wait(&mut process, clock).await;
        let words = said.or_else(|| process.last_words());
        let message = format!(
            "`{}` of NNI's package crashed ({status})",
            spec.tuner.name().escape_debug()
        );
        with_words(Error::new(ErrorKind::Conflict, message), words)
            .with_key(spec.tuner.key.clone())
            .with_help("its log is `log/dispatcher.log` in the experiment's directory; `tsctl resume` goes on")
    }

    /// Asks it to end and waits for that; what is left is killed.
    pub(crate) async fn finish(self, clock: &dyn Clock) {
        let Self {
            mut process, mut link, ..
        } = self;
        let goodbye = async {
            if link.send(&Message::new(TERMINATE, "")).await.is_ok() {
                // It may have a lot to say before it ends, and must not be stuck with it.
                while let Ok(Some(_)) = link.receive().await {}
            }
            drop(link);
            let _ = process.ended().await;
        };
        tokio::select! {
            () = goodbye => {}
            () = clock.sleep(LAST_WISH) => {
                tracing::warn!("NNI's dispatcher did not end within {} s and is killed", LAST_WISH.as_secs());
            }
        }
    }
}

/// Waits for the end of a process that has lost its channel; how it ended, in words.
async fn wait(process: &mut Process, clock: &dyn Clock) -> String {
    tokio::select! {
        status = process.ended() => status.map_or_else(|e| e.to_string(), |status| status.to_string()),
        () = clock.sleep(AFTERMATH) => "it closed its channel and went on".to_owned(),
    }
}

fn not_begun(spec: &NniSpec, process: &Process, said: Option<String>) -> Error {
    let message = format!(
        "`{}` of NNI's package could not begin",
        spec.tuner.name().escape_debug()
    );
    with_words(
        Error::new(ErrorKind::Config, message),
        said.or_else(|| process.last_words()),
    )
    .with_key(spec.tuner.key.clone())
    .with_help("its log is `log/dispatcher.log` in the experiment's directory")
}

fn with_words(error: Error, words: Option<String>) -> Error {
    match words {
        Some(words) => error.with_source(std::io::Error::other(words)),
        None => error,
    }
}

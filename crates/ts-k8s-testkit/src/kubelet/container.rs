//! One container: its start, its end, and starting it again. Its image is in `pull`.
//!
//! Sources: kubernetes v1.20, `pkg/kubelet/kuberuntime/kuberuntime_manager.go` (`computePodActions`, `doBackOff`: the first restart
//! comes at once); messages and their order were observed on v1.20.2.

use super::{
    clock, environment,
    expand::expand,
    log_file::{Lines, Log},
    mounts::Mounts,
    pod::{Live, Orders, PodRun, Slot},
    process::{self, Launch, Victim},
    settings::BackOff,
    shared::{Shared, inside, next_number},
    status::{Ended, State},
    volumes::{self, Volumes},
};
use k8s_openapi::api::core::v1::Container;
use std::{fs, io, path::PathBuf, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::Child,
    sync::watch,
};

/// How long output may still come from processes that got away when their container was killed.
const LAST_OUTPUT: Duration = Duration::from_secs(2);

/// What it takes to run a container.
#[derive(Debug)]
pub(super) struct Runner {
    /// The node.
    pub(super) shared: Arc<Shared>,
    /// The pod.
    pub(super) pod: Arc<PodRun>,
    /// The volumes of the pod.
    pub(super) volumes: Arc<Volumes>,
    /// Which container.
    pub(super) slot: Slot,
    /// As the pod describes it.
    pub(super) container: Container,
    /// The policy of the pod.
    pub(super) restart_policy: String,
}

/// A container that is ready to start.
struct Prepared {
    command: Vec<String>,
    launch: Launch,
    mounts: Mounts,
}

impl Runner {
    /// Runs the container until it is not to be started again, or the pod is ordered to end. Returns whether it succeeded.
    pub(super) async fn run(&self) -> bool {
        let mut restarts = BackOff::new(self.shared.settings().back_off);
        loop {
            let Some(prepared) = self.prepare().await else {
                return false;
            };
            let code = self.run_once(prepared).await;
            let again = match self.restart_policy.as_str() {
                "Never" => false,
                "Always" if !self.slot.init => true,
                _ => code != 0,
            };
            if !again || self.pod.is_stopping() {
                return code == 0;
            }
            let is_first = self.pod.change_cell(self.slot, |cell| cell.told.restarts == 0);
            if !is_first && !self.back_off(&mut restarts).await {
                return false;
            }
            self.pod.change_cell(self.slot, |cell| cell.told.restarts += 1);
        }
    }

    /// Waits before another start. `false`: the pod is ordered to end.
    async fn back_off(&self, restarts: &mut BackOff) -> bool {
        let wait = restarts.wait();
        let id = &self.pod.id;
        let message = format!(
            "back-off {wait:?} restarting failed container={} pod={}_{}({})",
            self.container.name, id.name, id.namespace, id.uid
        );
        self.pod.wait(self.slot, "CrashLoopBackOff", Some(message));
        self.report(true, "BackOff", "Back-off restarting failed container");
        self.pod.unless_stopped(clock::sleep(wait)).await.is_some()
    }

    /// Gets all that the container needs, however long that takes. Nothing: the pod is ordered to end.
    async fn prepare(&self) -> Option<Prepared> {
        self.pull().await?;
        let mut tries = BackOff::new(self.shared.settings().back_off);
        loop {
            match self.pod.unless_stopped(self.configure()).await? {
                Ok(prepared) => return Some(prepared),
                Err((reason, message)) => {
                    self.report(true, "Failed", format!("Error: {message}"));
                    self.pod.wait(self.slot, reason, Some(message));
                    self.pod.unless_stopped(clock::sleep(tries.wait())).await?;
                }
            }
        }
    }

    /// The command, the variables and the mounts.
    async fn configure(&self) -> Result<Prepared, (&'static str, String)> {
        let pod = self.pod.state().pod.clone();
        let bad_config = |message| ("CreateContainerConfigError", message);
        let env = environment::variables(&self.shared, &pod, &self.container, &self.pod.ip)
            .await
            .map_err(bad_config)?;
        let mounts = volumes::mounts(&self.container, &self.volumes, &env).map_err(bad_config)?;
        let value = |name: &str| {
            env.iter()
                .rfind(|(known, _)| known == name)
                .map(|(_, value)| value.as_str())
        };
        let expanded = |list: &Option<Vec<String>>| {
            let list = list.iter().flatten();
            list.map(|text| mounts.apply(&expand(text, value)))
                .collect::<Vec<String>>()
        };
        let mut command = expanded(&self.container.command);
        if command.is_empty() {
            let image = self.container.image.as_deref().unwrap_or_default();
            let entrypoints = self.shared.settings().entrypoints;
            command = entrypoints
                .get(image)
                .into_iter()
                .flatten()
                .map(|text| mounts.apply(text))
                .collect();
        }
        command.extend(expanded(&self.container.args));
        if command.is_empty() {
            return Err((
                "CreateContainerError",
                "failed to generate container spec: no command specified".to_owned(),
            ));
        }
        // What an image would hold: files that the container makes outside of its volumes do not end up among the machine's.
        let root = self.pod.dir.join("root").join(&self.container.name);
        let directory = match self
            .container
            .working_dir
            .as_deref()
            .filter(|dir| !dir.is_empty() && *dir != "/")
        {
            None => root.clone(),
            Some(dir) => mounts.place(dir).unwrap_or_else(|| {
                let own = PathBuf::from(dir);
                if own.is_dir() { own } else { inside(&root, dir) }
            }),
        };
        let made = fs::create_dir_all(&root).and_then(|()| fs::create_dir_all(&directory));
        made.map_err(|error| {
            (
                "CreateContainerError",
                format!("cannot make the working directory: {error}"),
            )
        })?;
        let mut variables = vec![("HOME".to_owned(), root.to_string_lossy().into_owned())];
        variables.extend(env.iter().map(|(name, text)| (name.clone(), mounts.apply(text))));
        Ok(Prepared {
            command,
            launch: Launch {
                env: variables,
                directory,
                mark: format!("{}/{}", self.pod.id.uid, self.container.name),
            },
            mounts,
        })
    }

    /// Starts the container and waits for its end. Returns its exit code.
    async fn run_once(&self, prepared: Prepared) -> i32 {
        let id = format!(
            "containerd://{}{:032x}",
            self.pod.id.uid.replace('-', ""),
            next_number()
        );
        self.report(false, "Created", format!("Created container {}", self.container.name));
        let log = match self.new_log(&id) {
            Ok(log) => log,
            Err(error) => return self.never_ran(id, format!("cannot write the log: {error}")),
        };
        let child = prepared.launch.start(&prepared.command, false);
        let mut child = match child {
            Ok(child) => child,
            Err(message) => {
                log.close();
                return self.never_ran(
                    id,
                    format!("failed to create containerd task: failed to create shim task: {message}"),
                );
            }
        };
        let victim = Victim {
            mark: Some(prepared.launch.mark.clone()),
            session: child.id(),
        };
        self.shared.live().insert(victim.clone());
        let since = clock::now();
        self.pod.change_cell(self.slot, |cell| {
            if let State::Ended(ended) = &cell.told.state {
                cell.told.last = Some(ended.clone());
            }
            cell.told.state = State::Running { since };
            cell.told.id = Some(id.clone());
            cell.live = Some(Live {
                pid: child.id().unwrap_or_default(),
                launch: prepared.launch,
                mounts: prepared.mounts,
                out_of_memory: false,
            });
        });
        self.report(false, "Started", format!("Started container {}", self.container.name));

        let output = copy(child.stdout.take(), Lines::new("stdout"), &log);
        let errors = copy(child.stderr.take(), Lines::new("stderr"), &log);
        let end = async {
            let code = self.wait(&mut child, &victim).await;
            // As in a process namespace, nothing outlives the first process.
            kill(victim.clone()).await;
            code
        };
        let mut copying = std::pin::pin!(async { tokio::join!(output, errors) });
        let mut end = std::pin::pin!(end);
        let code = tokio::select! {
            code = &mut end => {
                let _ = tokio::time::timeout(LAST_OUTPUT, &mut copying).await;
                code
            }
            _ = &mut copying => end.await,
        };
        log.close();
        self.shared.live().remove(&victim);
        let finished = clock::now();
        self.pod.change_cell(self.slot, |cell| {
            let out_of_memory = cell.live.take().is_some_and(|live| live.out_of_memory);
            cell.told.state = State::Ended(Ended {
                id,
                code,
                reason: match code {
                    0 => "Completed",
                    _ if out_of_memory => "OOMKilled",
                    _ => "Error",
                },
                message: None,
                started: Some(since),
                finished,
            });
        });
        code
    }

    /// A container that could not be started. Observed with containerd 1.6 on v1.20.2: code 128, and no time of start.
    fn never_ran(&self, id: String, message: String) -> i32 {
        self.report(true, "Failed", format!("Error: {message}"));
        self.pod.change_cell(self.slot, |cell| {
            if let State::Ended(ended) = &cell.told.state {
                cell.told.last = Some(ended.clone());
            }
            cell.told.id = Some(id.clone());
            cell.told.state = State::Ended(Ended {
                id,
                code: 128,
                reason: "StartError",
                message: Some(message),
                started: None,
                finished: clock::now(),
            });
        });
        128
    }

    fn new_log(&self, id: &str) -> io::Result<Arc<Log>> {
        let dir = self.pod.dir.join("logs").join(&self.container.name);
        fs::create_dir_all(&dir)?;
        let limit = self.shared.settings().log_limit;
        let restarts = self.pod.change_cell(self.slot, |cell| cell.told.restarts);
        let log = Arc::new(Log::create(dir.join(format!("{restarts}.log")), limit)?);
        // The last two are kept. Source: kubernetes v1.20, `pkg/kubelet/kubelet.go`, `MaxPerPodContainerCount` of 1.
        self.pod.change_cell(self.slot, |cell| {
            cell.logs.push((id.to_owned(), log.clone()));
            let excess = cell.logs.len().saturating_sub(2);
            cell.logs.drain(..excess);
        });
        if let Some(old) = restarts.checked_sub(2) {
            fs::remove_file(dir.join(format!("{old}.log")))?;
        }
        Ok(log)
    }

    /// Waits for the first process, and makes it end once that is ordered.
    async fn wait(&self, child: &mut Child, victim: &Victim) -> i32 {
        let mut orders = self.pod.orders.subscribe();
        let status = tokio::select! {
            status = child.wait() => status,
            mut grace = shorter(&mut orders, Duration::MAX) => {
                self.report(false, "Killing", format!("Stopping container {}", self.container.name));
                process::terminate(child.id().unwrap_or_default(), self.is_first_process());
                loop {
                    tokio::select! {
                        status = child.wait() => break status,
                        () = clock::sleep(grace) => {
                            kill(victim.clone()).await;
                            break child.wait().await;
                        }
                        sooner = shorter(&mut orders, grace) => grace = sooner,
                    }
                }
            }
        };
        status.map_or(128, process::exit_code)
    }

    /// Whether the container has a process namespace of its own.
    fn is_first_process(&self) -> bool {
        let state = self.pod.state();
        let spec = state.pod.spec.as_ref();
        !spec.is_some_and(|spec| spec.host_pid == Some(true) || spec.share_process_namespace == Some(true))
    }

    /// An event about the container.
    pub(super) fn report(&self, warning: bool, reason: &'static str, message: impl Into<String>) {
        self.pod.report_of(&self.shared, self.slot, warning, reason, message);
    }
}

/// Waits for an order to end within less time than `known`.
async fn shorter(orders: &mut watch::Receiver<Orders>, known: Duration) -> Duration {
    let order = orders
        .wait_for(|orders| orders.stop.is_some_and(|stop| stop < known))
        .await;
    // The sender lives as long as the pod.
    order.ok().and_then(|orders| orders.stop).unwrap_or_default()
}

/// Kills a container, off the threads that run tasks.
async fn kill(victim: Victim) {
    // It fails only where the whole program ends.
    let _ = tokio::task::spawn_blocking(move || process::kill_all(&[victim])).await;
}

async fn copy(from: Option<impl AsyncRead + Unpin>, mut lines: Lines, log: &Log) {
    let Some(mut from) = from else { return };
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if let Err(error) = lines.write(log, &buffer[..count]) {
            tracing::error!(%error, "a log cannot be written");
        }
    }
    if let Err(error) = lines.end(log) {
        tracing::error!(%error, "a log cannot be written");
    }
}

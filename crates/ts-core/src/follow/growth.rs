//! Notices that files grow which others write, on storage that tells nobody: looks at their lengths at a pace.
//!
//! What a grown file means is `watch`'s business.

use super::{Registry, TrialFiles};
use crate::{Ctx, LogKind, TrialId, TrialStatus, launch::TrialPaths};
use std::{collections::HashMap, fs::File, path::Path, sync::Weak, time::Duration};

/// The journal and the three logs.
type Lengths = [u64; 4];

/// Looks at the journal and the logs of every running trial each `pace`, and tells the watchers of `registry` which grew. Ends when
/// the registry is gone.
///
/// Only running trials cost anything. Files are opened, not just looked at: that makes NFS ask its server, where a mere look may be
/// answered from the client's cache for a minute (nfs(5), "close-to-open cache consistency").
pub async fn notice_growth<X: Clone + Send + 'static>(
    registry: Weak<Registry<X>>,
    files: Weak<impl TrialFiles>,
    ctx: Ctx,
    pace: Duration,
) {
    let mut known: HashMap<TrialId, Lengths> = HashMap::new();
    loop {
        ctx.clock.sleep(pace).await;
        let running = {
            let (Some(registry), Some(files)) = (registry.upgrade(), files.upgrade()) else {
                return;
            };
            let is_running = |trial: &TrialId| registry.with(trial, |k| k.status == TrialStatus::Running) == Some(true);
            let running = registry.ids().into_iter().filter(is_running);
            running.map(|trial| (files.paths(&trial), trial)).collect::<Vec<_>>()
        };
        // A server that hangs holds up this thread and nobody else's.
        let looked = ctx.tasks.blocking(move || {
            let look = |(paths, trial): (TrialPaths, TrialId)| (trial, lengths(&paths));
            running.into_iter().map(look).collect::<HashMap<_, _>>()
        });
        let looked = looked.await;
        let Some(registry) = registry.upgrade() else { return };
        for (trial, lengths) in &looked {
            if known.get(trial) != Some(lengths) {
                registry.tell(trial);
            }
        }
        known = looked;
    }
}

fn lengths(paths: &TrialPaths) -> Lengths {
    let log = |kind| length(&paths.log(kind));
    [
        length(&paths.metrics()),
        log(LogKind::Stdout),
        log(LogKind::Stderr),
        log(LogKind::Trial),
    ]
}

fn length(path: &Path) -> u64 {
    File::open(path)
        .and_then(|file| file.metadata())
        .map_or(0, |meta| meta.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Timestamp, follow::Known};
    use std::{path::PathBuf, sync::Arc};

    struct Files(PathBuf);

    impl TrialFiles for Files {
        fn paths(&self, trial: &TrialId) -> TrialPaths {
            TrialPaths::new(self.0.join(trial.as_str()))
        }
        fn want_log(&self, _: &TrialId, _: LogKind) {}
        fn log_is_complete(&self, _: &TrialId, _: LogKind) -> bool {
            true
        }
        fn look_on(&self, _: &TrialId) {}
        fn forget(&self, _: &TrialId) {}
    }

    #[tokio::test]
    async fn what_grows_is_told_and_the_task_ends_with_its_registry() {
        let dir = tempfile::tempdir().expect("a directory");
        let registry = Arc::new(Registry::<()>::default());
        let files = Arc::new(Files(dir.path().to_owned()));
        let trial = TrialId::new("a").expect("legal");
        let paths = files.paths(&trial);
        std::fs::create_dir_all(paths.exchange()).expect("room");
        registry.claim(&trial, Known::running(Timestamp(1), ()));
        let inbox = registry.subscribe();
        let watched = notice_growth(
            Arc::downgrade(&registry),
            Arc::downgrade(&files),
            Ctx::new(dir.path()),
            Duration::from_millis(1),
        );
        let grow = async {
            inbox.marked().await;
            assert_eq!(inbox.take(), Some(trial.clone()), "seen for the first time");
            for file in [paths.metrics(), paths.log(LogKind::Stdout)] {
                std::fs::write(file, "x").expect("room");
                inbox.marked().await;
                assert_eq!(inbox.take(), Some(trial.clone()));
            }
            drop(registry);
        };
        futures_util::join!(watched, grow);
    }
}

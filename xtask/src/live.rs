//! Essential cases on a platform of the user's: with the credentials and the section of a configuration that works there.
//!
//! Of the file everything is kept but what the trials are: a short script with a few metrics takes the place of the user's code.
//! It may cost whatever six short trials cost there. A derived file lies beside the user's own, whose paths may be relative,
//! and is removed.

use crate::{
    report::{Outcome, Report},
    shell, workspace,
};
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// Metrics of each trial: these, and the last one as its result.
const STEPS: u64 = 5;
/// Says a line, reports, and sleeps between its metrics.
const SCRIPT: &str = r#"
report() { printf "NNISDK_MEb'%s'\n" "$1" >>"$NNI_SYS_DIR/.nni/metrics"; }
echo "seen by trial $NNI_TRIAL_JOB_ID"
n=0
while [ "$n" -lt STEPS ]; do
  report "{\"type\": \"PERIODICAL\", \"sequence\": $n, \"value\": $n}"
  n=$((n + 1))
  sleep PAUSE
done
report "{\"type\": \"FINAL\", \"sequence\": 0, \"value\": $n}"
"#;
/// Longest time that an experiment may take: clusters have queues.
const DEADLINE: Duration = Duration::from_hours(1);
/// How often we look.
const PAUSE: Duration = Duration::from_secs(1);

/// Runs the cases with this configuration; `true` if all pass.
pub(crate) fn run(file: &Path) -> Result<bool> {
    let root = workspace::root();
    if !shell::succeeds(&mut shell::cargo(&root, &["build", "-p", "tsctl"]))? {
        bail!("`tsctl` does not build");
    }
    let target = workspace::target(&root)?;
    let file = fs::canonicalize(file).with_context(|| format!("cannot find `{}`", file.display()))?;
    let place = Place {
        tsctl: target.join("debug/tsctl"),
        work: target.join("live"),
        file,
    };
    let mut report = Report::default();
    let mut step = |name: &str, case: fn(&Place) -> Result<()>| {
        report.step(name, || case(&place).map(|()| Outcome::Passed));
    };
    step("the file is good, and what it names can be reached", reached);
    step("trials end well, with their metrics and logs", ended);
    step("a manager that is killed goes on", killed);
    step("a trial is canceled", canceled);
    Ok(report.finish())
}

struct Place {
    tsctl: PathBuf,
    work: PathBuf,
    /// The user's configuration.
    file: PathBuf,
}

fn reached(place: &Place) -> Result<()> {
    let case = Case::new(place, "reached", (1, "1"))?;
    let file = case.derived.to_string_lossy().into_owned();
    print!("{}", case.output(&["validate", &file])?);
    print!("{}", case.output(&["doctor", &file])?);
    Ok(())
}

fn ended(place: &Place) -> Result<()> {
    let case = Case::new(place, "ended", (3, "1"))?;
    let mut manager = case.start(&["run", &case.derived.to_string_lossy()])?;
    case.finish(&mut manager)?;
    for trial in case.trials()? {
        case.is_whole(&trial)?;
        let id = id_of(&trial)?;
        let log = case.output(&["logs", id])?;
        ensure!(
            log.contains(&format!("seen by trial {id}")),
            "the log of `{id}` has: {log}"
        );
    }
    case.leave()
}

fn killed(place: &Place) -> Result<()> {
    let case = Case::new(place, "killed", (2, "6"))?;
    let mut manager = case.start(&["run", &case.derived.to_string_lossy()])?;
    case.until_reported()?;
    manager.kill()?;
    manager.wait()?;
    let experiment = case.id()?;
    let mut manager = case.start(&["resume", &experiment])?;
    case.finish(&mut manager)?;
    for trial in case.trials()? {
        case.is_whole(&trial)?;
    }
    case.leave()
}

fn canceled(place: &Place) -> Result<()> {
    let case = Case::new(place, "canceled", (1, "60"))?;
    let mut manager = case.start(&["run", &case.derived.to_string_lossy()])?;
    let trial = case.until_reported()?;
    case.output(&["cancel", &trial])?;
    case.until("the experiment ends", || Ok(manager.try_wait()?))?;
    let trials = case.trials()?;
    let status = trials.first().map(|trial| trial["status"].clone());
    ensure!(
        status == Some("USER_CANCELED".into()),
        "the canceled trial is {status:?}"
    );
    case.leave()
}

/// One experiment with a registry of its own.
struct Case<'a> {
    place: &'a Place,
    folder: PathBuf,
    /// The configuration, beside the user's.
    derived: PathBuf,
}

impl<'a> Case<'a> {
    fn new(place: &'a Place, name: &str, (n_trials, pause): (u64, &str)) -> Result<Self> {
        let folder = place.work.join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        let code = folder.join("code");
        fs::create_dir_all(&code)?;
        let script = SCRIPT.replace("STEPS", &STEPS.to_string()).replace("PAUSE", pause);
        fs::write(code.join("trial.sh"), script)?;
        let text = fs::read_to_string(&place.file)?;
        let mut config: Value =
            serde_yaml::from_str(&text).with_context(|| format!("`{}` is no configuration", place.file.display()))?;
        adapt(&mut config, &code, &folder, n_trials)?;
        let beside = place.file.parent().unwrap_or(Path::new("."));
        let derived = beside.join(format!(".live-{name}-{}.yml", std::process::id()));
        fs::write(&derived, serde_json::to_string_pretty(&config)?)?;
        Ok(Self { place, folder, derived })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        println!("  $ tsctl {}", arguments.join(" "));
        let mut command = Command::new(&self.place.tsctl);
        command.args(arguments).env("XDG_STATE_HOME", self.folder.join("state"));
        command
    }

    fn start(&self, arguments: &[&str]) -> Result<Child> {
        let mut command = self.command(arguments);
        command.stdin(Stdio::null());
        command.spawn().context("cannot start `tsctl`")
    }

    fn output(&self, arguments: &[&str]) -> Result<String> {
        shell::output(&mut self.command(arguments))
    }

    fn json(&self, arguments: &[&str]) -> Result<Value> {
        Ok(serde_json::from_str(&shell::output(
            self.command(arguments).arg("--json"),
        )?)?)
    }

    fn id(&self) -> Result<String> {
        let status = self.json(&["status"])?;
        let id = status["experiment"]["id"].as_str();
        id.map(str::to_owned).context("no experiment is there")
    }

    fn trials(&self) -> Result<Vec<Value>> {
        let trials = self.json(&["trials"])?;
        trials["trials"].as_array().cloned().context("no list of trials")
    }

    fn finish(&self, manager: &mut Child) -> Result<()> {
        let status = self.until("the experiment ends", || Ok(manager.try_wait()?))?;
        ensure!(status.success(), "`tsctl` ended with {status}");
        Ok(())
    }

    fn until_reported(&self) -> Result<String> {
        self.until("a trial has reported", || {
            // There is no experiment to read in the first moment.
            let trials = self.trials().unwrap_or_default();
            let reported = trials.iter().find(|trial| trial["nMetrics"].as_u64() >= Some(1));
            reported.map(|trial| id_of(trial).map(str::to_owned)).transpose()
        })
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "others' clusters have no other clock than the machine's"
    )]
    fn until<T>(&self, what: &str, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
        let began = Instant::now();
        loop {
            if let Some(found) = look()? {
                return Ok(found);
            }
            ensure!(
                began.elapsed() < DEADLINE,
                "{} min were not enough until {what}; what waits says why: {}",
                DEADLINE.as_secs() / 60,
                self.output(&["explain"]).unwrap_or_default()
            );
            std::thread::sleep(PAUSE);
        }
    }

    /// Whether a trial ended well and each of its metrics is there once, in order.
    fn is_whole(&self, trial: &Value) -> Result<()> {
        let id = id_of(trial)?;
        ensure!(
            trial["status"] == "SUCCEEDED",
            "trial `{id}` is {}: {}",
            trial["status"],
            trial["reason"]
        );
        let metrics = self.json(&["metrics", id])?;
        let metrics = metrics["metrics"].as_array().cloned().unwrap_or_default();
        let values: Vec<String> = metrics.iter().map(|metric| plain(&metric["value"])).collect();
        let expected: Vec<String> = (0..=STEPS).map(|n| n.to_string()).collect();
        ensure!(values == expected, "trial `{id}` has reported {values:?}");
        Ok(())
    }

    /// Removes what the experiment has left on the platform.
    fn leave(&self) -> Result<()> {
        self.output(&["gc", "--yes", &self.id()?]).map(drop)
    }
}

impl Drop for Case<'_> {
    fn drop(&mut self) {
        // A case that failed may have left its experiment running. There is nothing to do about what cannot be stopped.
        let _ = self.command(&["stop"]).output();
        let _ = fs::remove_file(&self.derived);
    }
}

fn id_of(trial: &Value) -> Result<&str> {
    trial["id"].as_str().context("a trial without an id")
}

/// A value as text, whether it is given as a number or as a text.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Puts our trials into a configuration of either schema.
fn adapt(config: &mut Value, code: &Path, folder: &Path, n_trials: u64) -> Result<()> {
    let command = "sh trial.sh";
    let map = config.as_object_mut().context("the configuration is no mapping")?;
    for key in [
        "advisor",
        "assessor",
        "searchSpaceFile",
        "searchSpacePath",
        "maxExecDuration",
        "maxExperimentDuration",
    ] {
        map.remove(key);
    }
    map.insert("trialConcurrency".to_owned(), n_trials.into());
    if map.contains_key("trainingServicePlatform") {
        let space = folder.join("space.json");
        fs::write(&space, r#"{"x": {"_type": "uniform", "_value": [0, 1]}}"#)?;
        map.insert("searchSpacePath".to_owned(), json!(space));
        map.insert("maxTrialNum".to_owned(), n_trials.into());
        map.insert("logDir".to_owned(), json!(folder.join("experiments")));
        map.insert("tuner".to_owned(), json!({ "builtinTunerName": "Random" }));
        let trial = map.entry("trial").or_insert_with(|| json!({}));
        trial["codeDir"] = json!(code);
        let roles = ["worker", "ps", "master"].into_iter();
        let with_roles: Vec<&str> = roles.filter(|role| trial.get(*role).is_some()).collect();
        if with_roles.is_empty() {
            trial["command"] = command.into();
        }
        for role in with_roles {
            trial[role]["command"] = command.into();
        }
    } else {
        map.insert(
            "searchSpace".to_owned(),
            json!({ "x": { "_type": "uniform", "_value": [0, 1] } }),
        );
        map.insert("maxTrialNumber".to_owned(), n_trials.into());
        map.insert(
            "experimentWorkingDirectory".to_owned(),
            json!(folder.join("experiments")),
        );
        map.insert("tuner".to_owned(), json!({ "name": "Random" }));
        map.insert("trialCodeDirectory".to_owned(), json!(code));
        map.insert("trialCommand".to_owned(), command.into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::env;

    #[test]
    fn the_users_platform_stays_and_the_trials_are_ours() {
        let folder = scratch("both");
        let mut second = json!({
            "trialCommand": "python3 train.py", "trialCodeDirectory": ".", "assessor": { "name": "Medianstop" },
            "trainingService": { "platform": "dlts", "password": "file:token" },
        });
        adapt(&mut second, Path::new("/code"), &folder, 2).expect("a mapping");
        assert_eq!(
            second["trainingService"],
            json!({ "platform": "dlts", "password": "file:token" })
        );
        assert_eq!(second["trialCommand"], "sh trial.sh");
        assert!(second.get("assessor").is_none());
        let mut first = json!({
            "trainingServicePlatform": "pai", "trial": { "command": "python3 train.py", "codeDir": ".", "gpuNum": 1 },
            "paiConfig": { "userName": "me" },
        });
        adapt(&mut first, Path::new("/code"), &folder, 2).expect("a mapping");
        assert_eq!(
            first["trial"],
            json!({ "command": "sh trial.sh", "codeDir": "/code", "gpuNum": 1 })
        );
        assert_eq!(first["maxTrialNum"], 2);
        fs::remove_dir_all(folder).expect("there");
    }

    fn scratch(name: &str) -> PathBuf {
        let folder = env::temp_dir().join(format!("ts-xtask-live-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("room");
        folder
    }
}

//! What `doctor` asks: the shared folder here, who we are, the way to the dashboard, and what the team may use.

use crate::{DltsConfig, api::Api, validate};
use ts_core::{
    Ctx, Error, Finding,
    FindingState::{Bad, Good},
    config::{PlatformSection, Problems},
};

pub(crate) async fn diagnose(section: Option<&PlatformSection>, ctx: &Ctx) -> Vec<Finding> {
    let Some(section) = section else {
        let text = "no dashboard named; `tsctl doctor FILE` looks at that of a file";
        return vec![Finding::new("DLTS", Good, text)];
    };
    let mut problems = Problems::new();
    let Some(config) = DltsConfig::read(section, &mut problems) else {
        let mistakes = problems.into_result().err();
        return mistakes.iter().map(|error| bad("configuration", error)).collect();
    };
    let mut findings = Vec::new();
    let mount = config.local_mount.clone();
    findings.push(match ctx.tasks.blocking(move || validate::is_writable(&mount)).await {
        Ok(()) => Finding::new("shared folder", Good, format!("`{}`", config.local_mount.display())),
        Err(error) => bad("shared folder", &error),
    });
    let api = match Api::new(ctx, &config) {
        Ok(api) => api,
        Err(error) => {
            findings.push(bad("certificates", &error));
            return findings;
        }
    };
    match api.identity().await {
        Ok(who) => {
            let text = format!("`{}` of team `{}`", who.email, who.team);
            findings.push(Finding::new("user", Good, text));
        }
        Err(error) => {
            findings.push(bad("user", &error));
            return findings;
        }
    }
    let team = match api.team().await {
        Ok(team) => {
            findings.push(Finding::new("dashboard", Good, "it answers, and takes the token"));
            team
        }
        Err(error) => {
            findings.push(bad("dashboard", &error));
            return findings;
        }
    };
    let model = match &config.gpu_type {
        Some(model) => Ok(model.clone()),
        None => validate::only_model(&team, config.gpus),
    };
    findings.push(match model {
        Ok(model) => {
            let quota = team.gpus.get(&model).map_or("unknown".to_owned(), ToString::to_string);
            Finding::new("GPUs", Good, format!("model `{model}`, quota of the team: {quota}"))
        }
        Err(error) => bad("GPUs", &error),
    });
    findings.push(match api.jobs("nni_exp_").await {
        Ok(jobs) => {
            let n_live = jobs.iter().filter(|job| !job.state.is_over()).count();
            Finding::new("jobs", Good, format!("{n_live} jobs of NNI and ours have not ended"))
        }
        Err(error) => bad("jobs", &error),
    });
    findings
}

fn bad(subject: &str, error: &Error) -> Finding {
    let finding = Finding::new(subject, Bad, error.to_string());
    error.help().into_iter().fold(finding, Finding::with_help)
}

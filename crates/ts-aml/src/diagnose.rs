//! What `doctor` asks: the login, the workspace, the compute target, the storage.

use crate::{AmlConfig, api::Api, validate};
use ts_core::{
    Ctx, Error, Finding,
    FindingState::{Bad, Good, Warning},
    config::{PlatformSection, Problems},
};

pub(crate) async fn diagnose(section: Option<&PlatformSection>, ctx: &Ctx) -> Vec<Finding> {
    let Some(section) = section else {
        let text = "no workspace named; `tsctl doctor FILE` looks at that of a file";
        return vec![Finding::new("Azure ML", Good, text)];
    };
    let mut problems = Problems::new();
    let config = AmlConfig::read(section, &mut problems);
    let config = match (config, problems.into_result()) {
        (Some(config), Ok(())) => config,
        // There is none only beside a problem.
        (_, mistakes) => return mistakes.err().iter().map(|error| bad("configuration", error)).collect(),
    };
    let mut findings = Vec::new();
    let api = match Api::new(ctx, &config) {
        Ok(api) => api,
        Err(error) => return vec![bad("certificates", &error)],
    };
    match api.workspace().await {
        Ok(workspace) => {
            let place = workspace["location"].as_str().unwrap_or("an unknown region");
            findings.push(Finding::new(
                "workspace",
                Good,
                format!("`{}` in {place}", config.workspace_name),
            ));
        }
        Err(error) => {
            findings.push(bad("workspace", &error));
            return findings;
        }
    }
    let name = &config.compute_target;
    findings.push(match api.compute(name).await {
        Ok(Some(compute)) => match validate::trouble_of(name, &compute) {
            Some(text) => Finding::new("compute target", Warning, text),
            None => Finding::new("compute target", Good, format!("`{name}`")),
        },
        Ok(None) => Finding::new("compute target", Bad, format!("there is no `{name}`"))
            .with_help("name one of the workspace, or make a compute cluster of that name"),
        Err(error) => bad("compute target", &error),
    });
    findings.push(match api.store.read("nni/doctor", 0).await {
        Ok(_) => Finding::new("storage", Good, "the default datastore can be read"),
        Err(error) => bad("storage", &error),
    });
    findings
}

fn bad(subject: &str, error: &Error) -> Finding {
    let finding = Finding::new(subject, Bad, error.to_string());
    error.help().into_iter().fold(finding, Finding::with_help)
}

//! What `doctor` asks: the storage here, the way to the cluster, the token, and what the user may use there.

use crate::{PaiConfig, api::Api, validate};
use ts_core::{
    Ctx, Error, Finding,
    FindingState::{Bad, Good, Warning},
    config::{PlatformSection, Problems},
};

pub(crate) async fn diagnose(section: Option<&PlatformSection>, ctx: &Ctx) -> Vec<Finding> {
    let Some(section) = section else {
        let text = "no cluster named; `tsctl doctor FILE` looks at that of a file";
        return vec![Finding::new("OpenPAI", Good, text)];
    };
    let mut problems = Problems::new();
    let Some(config) = PaiConfig::read(section, &mut problems) else {
        let mistakes = problems.into_result().err();
        return mistakes.iter().map(|error| bad("configuration", error)).collect();
    };
    let mut findings = vec![storage_here(ctx, &config).await];
    let api = match Api::new(ctx, &config) {
        Ok(api) => api,
        Err(error) => {
            findings.push(bad("certificates", &error));
            return findings;
        }
    };
    match api.info().await {
        Ok(info) => {
            let text = format!(
                "version {}, users by {}, jobs by {}",
                info.version, info.authn_method, info.launcher_type
            );
            findings.push(Finding::new("REST server", Good, text));
        }
        Err(error) => {
            findings.push(bad("REST server", &error));
            return findings;
        }
    }
    let storages = match api.storages().await {
        Ok(storages) => {
            let text = format!("accepted for `{}`", config.user_name);
            findings.push(Finding::new("token", Good, text));
            storages
        }
        Err(error) => {
            findings.push(bad("token", &error));
            return findings;
        }
    };
    for name in validate::storage_names(&config) {
        let is_there = storages.iter().any(|storage| storage.name == name);
        findings.push(if is_there {
            Finding::new("storage", Good, format!("`{name}` may be mounted"))
        } else {
            let list: Vec<&str> = storages.iter().map(|storage| storage.name.as_str()).collect();
            Finding::new("storage", Bad, format!("`{name}` is none of the user's"))
                .with_help(format!("those of the user: {}", list.join(", ")))
        });
    }
    findings.push(virtual_cluster(&api, &config).await);
    findings.push(jobs(&api).await);
    findings
}

fn bad(subject: &str, error: &Error) -> Finding {
    let finding = Finding::new(subject, Bad, error.to_string());
    error.help().into_iter().fold(finding, Finding::with_help)
}

async fn storage_here(ctx: &Ctx, config: &PaiConfig) -> Finding {
    if let Some(push) = &config.push {
        // A manager that runs has the port.
        return match ts_core::push::is_free(push.listen).await {
            Ok(()) => Finding::new("push", Good, format!("`{}` is free", push.listen)),
            Err(error) => Finding::new("push", Warning, error.to_string())
                .with_help("good, if it is the experiment itself that runs; else name another port as `push.listen`"),
        };
    }
    let mount = config.local_mount.clone();
    match ctx.tasks.blocking(move || validate::is_writable(&mount)).await {
        Ok(()) => Finding::new("storage here", Good, format!("`{}`", config.local_mount.display())),
        Err(error) => bad("storage here", &error),
    }
}

async fn virtual_cluster(api: &Api, config: &PaiConfig) -> Finding {
    let name = config.virtual_cluster.as_deref().unwrap_or("default");
    let list = match api.virtual_clusters().await {
        Ok(list) => list,
        Err(error) => return bad("virtual cluster", &error),
    };
    if let Some(cluster) = list.get(name) {
        let (used, total) = (cluster.resources_used.gpus, cluster.resources_total.gpus);
        return Finding::new(
            "virtual cluster",
            Good,
            format!("`{name}`: {used} of {total} GPUs are used"),
        );
    }
    let list: Vec<&str> = list.keys().map(String::as_str).collect();
    Finding::new("virtual cluster", Bad, format!("there is no `{name}`"))
        .with_help(format!("those of the cluster: {}", list.join(", ")))
}

/// Lists are what the loop needs; a limit that is nearly used up shows here.
async fn jobs(api: &Api) -> Finding {
    match api.live("nni_exp_").await {
        Ok(listing) => {
            let text = format!("{} jobs of NNI and ours have not ended", listing.jobs.len());
            if listing.pace.as_secs() > 10 {
                Finding::new(
                    "jobs",
                    Warning,
                    format!("{text}; other clients use up the limit of lists"),
                )
                .with_help("trials are seen later; an administrator can raise `RATE_LIMIT_LIST_JOB_PER_MIN`")
            } else {
                Finding::new("jobs", Good, text)
            }
        }
        Err(error) => bad("jobs", &error),
    }
}

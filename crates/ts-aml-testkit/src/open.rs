//! Documents that ask for no credentials: the addresses of a region's services, and the clouds there are.

use crate::{call::Call, reply::Reply, shared::Shared};
use serde_json::json;

pub(crate) fn answer(shared: &Shared, call: &Call) -> Reply {
    if call.method != "GET" {
        return Reply::arm(405, "MethodNotAllowed", "The method is not allowed.");
    }
    let base = &shared.base;
    match call.parts()[..] {
        // Source: azure-ai-ml 1.35.2, `operations/_job_operations.py`, `_get_workspace_url`: key `api`, asked without a token.
        ["discovery", ..] => Reply::json(
            200,
            &json!({
                "api": base, "catalog": base, "experimentation": base, "gallery": base, "history": base,
                "hyperdrive": base, "labeling": base, "modelmanagement": base, "pipelines": base, "studio": base,
            }),
        ),
        // Source: azure-ai-ml 1.35.2, `_azure_environments.py`, `_convert_arm_to_cli`, for the fields of a cloud.
        ["metadata", "endpoints"] => {
            if call.query("api-version").is_none() {
                return crate::arm::missing_api_version();
            }
            Reply::json(
                200,
                &json!([{
                    "name": "FakeCloud",
                    "portal": "https://portal.azure.test/",
                    "resourceManager": format!("{base}/"),
                    "authentication": {
                        "loginEndpoint": format!("{base}/"),
                        "audiences": ["https://management.core.windows.net/", "https://management.azure.com/"],
                        "tenant": "common",
                        "identityProvider": "AAD",
                    },
                    "suffixes": {"storage": "core.windows.net", "keyVaultDns": "vault.azure.net"},
                }]),
            )
        }
        _ => Reply::empty(404),
    }
}

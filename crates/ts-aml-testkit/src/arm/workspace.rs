//! The workspace.

use crate::{reply::Reply, shared::Shared, world::ACCOUNT};
use serde_json::json;

/// Source: Azure/azure-rest-api-specs, `stable/2024-10-01/workspaceRP.json`, `WorkspaceProperties`.
pub(super) fn get(shared: &Shared) -> Reply {
    let setting = &shared.setting;
    let group = format!(
        "/subscriptions/{}/resourceGroups/{}",
        setting.subscription, setting.resource_group
    );
    let host = shared.base.split("//").nth(1).unwrap_or_default();
    Reply::json(
        200,
        &json!({
            "id": shared.scope(),
            "name": setting.workspace,
            "type": "Microsoft.MachineLearningServices/workspaces",
            "location": setting.location,
            "identity": {"type": "SystemAssigned", "tenantId": setting.tenant},
            "kind": "Default",
            "sku": {"name": "Basic", "tier": "Basic"},
            "tags": {},
            "properties": {
                "workspaceId": "0c6e4a44-1ad6-4c1f-8a0a-0b6f5a1f0d11",
                "tenantId": setting.tenant,
                "friendlyName": setting.workspace,
                "description": "",
                "discoveryUrl": format!("{}/discovery", shared.base),
                "mlFlowTrackingUri": format!("azureml://{host}/mlflow/v1.0{}", shared.scope()),
                "storageAccount": format!("{group}/providers/Microsoft.Storage/storageAccounts/{ACCOUNT}"),
                "keyVault": format!("{group}/providers/Microsoft.Keyvault/vaults/trials"),
                "applicationInsights": format!("{group}/providers/Microsoft.insights/components/trials"),
                "hbiWorkspace": false,
                "provisioningState": "Succeeded",
                "publicNetworkAccess": "Enabled",
                "systemDatastoresAuthMode": if setting.identity_storage { "Identity" } else { "AccessKey" },
                "v1LegacyMode": false,
            },
        }),
    )
}

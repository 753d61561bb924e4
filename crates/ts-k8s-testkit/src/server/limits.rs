//! LimitRanges: the resources that containers get without asking, and the least and most they may ask for.
//!
//! Source: kubernetes v1.20, `plugin/pkg/admission/limitranger/admission.go`; compared with answers of kube-apiserver v1.20.2.

use super::failure::Failure;
use super::quantity::Quantity;
use super::world::World;
use serde_json::{Value, json};

/// Fills in and checks the containers of a new pod.
pub(crate) fn admit(world: &World, namespace: &str, pod: &mut Value) -> Result<(), Failure> {
    let name = pod["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    for (_, range) in world.store.list("limitranges", Some(namespace)) {
        let items = range["spec"]["limits"].as_array().into_iter().flatten();
        for item in items.filter(|item| item["type"] == "Container") {
            for list in ["initContainers", "containers"] {
                for container in pod["spec"]
                    .get_mut(list)
                    .and_then(Value::as_array_mut)
                    .into_iter()
                    .flatten()
                {
                    fill(item, container);
                    check(item, container).map_err(|why| Failure::forbidden("", "pods", &name, &why))?;
                }
            }
        }
    }
    Ok(())
}

fn fill(item: &Value, container: &mut Value) {
    for (side, amounts) in [("limits", &item["default"]), ("requests", &item["defaultRequest"])] {
        for (resource, amount) in amounts.as_object().into_iter().flatten() {
            if !container["resources"][side].is_object() {
                container["resources"][side] = json!({});
            }
            if container["resources"][side].get(resource).is_none() {
                container["resources"][side][resource] = amount.clone();
            }
        }
    }
}

fn check(item: &Value, container: &Value) -> Result<(), String> {
    let quantity = |amount: &Value| amount.as_str().and_then(Quantity::parse);
    for (resource, most) in item["max"].as_object().into_iter().flatten() {
        let bound = most.as_str().unwrap_or_default();
        let limit = &container["resources"]["limits"][resource];
        let shown = limit.as_str().unwrap_or_default();
        if limit.is_null() {
            return Err(format!(
                "maximum {resource} usage per Container is {bound}.  No limit is specified"
            ));
        }
        if quantity(limit) > quantity(most) {
            return Err(format!(
                "maximum {resource} usage per Container is {bound}, but limit is {shown}"
            ));
        }
    }
    for (resource, least) in item["min"].as_object().into_iter().flatten() {
        let bound = least.as_str().unwrap_or_default();
        let request = &container["resources"]["requests"][resource];
        let shown = request.as_str().unwrap_or_default();
        if request.is_null() {
            return Err(format!(
                "minimum {resource} usage per Container is {bound}.  No request is specified"
            ));
        }
        if quantity(request) < quantity(least) {
            return Err(format!(
                "minimum {resource} usage per Container is {bound}, but request is {shown}"
            ));
        }
    }
    Ok(())
}

//! SelfSubjectAccessReviews: what the one who asks may do.

use super::auth::{self, Attributes, User};
use super::call::Place;
use super::failure::{Cause, Failure};
use super::handler::json_response;
use axum::response::Response;
use serde_json::{Value, json};

/// Answers a review.
pub(crate) fn answer(place: &Place, verb: &str, user: &User, body: &[u8]) -> Result<Response, Failure> {
    if place.plural != "selfsubjectaccessreviews" || place.version != "v1" {
        return Err(Failure::unknown_resource());
    }
    if verb != "create" {
        return Err(Failure::method_not_allowed());
    }
    let asked: Value = serde_json::from_slice(body).map_err(|error| Failure::bad_request(error.to_string()))?;
    let (resource, other) = (
        &asked["spec"]["resourceAttributes"],
        &asked["spec"]["nonResourceAttributes"],
    );
    if resource.is_object() == other.is_object() {
        let why = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
        let cause = Cause::text("spec.resourceAttributes", "null", why);
        return Err(Failure::invalid("authorization.k8s.io", "", "", &[cause]));
    }
    let text = |name: &str| resource[name].as_str().unwrap_or_default();
    let attributes = Attributes {
        verb: text("verb"),
        group: text("group"),
        plural: text("resource"),
        subresource: text("subresource"),
        namespace: text("namespace"),
        name: text("name"),
    };
    let allowed = if resource.is_object() {
        auth::allowed(user, &attributes)
    } else {
        user.rules.is_none()
    };
    let mut review = json!({"kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1",
        "metadata": {"creationTimestamp": null}, "spec": asked["spec"], "status": {"allowed": allowed}});
    if allowed && user.rules.is_some() {
        review["status"]["reason"] = "RBAC: allowed by a RoleBinding".into();
    }
    Ok(json_response(201, &review))
}

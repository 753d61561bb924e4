//! What is to go wrong with which requests, and how often.

use axum::http::Method;
use std::sync::{Mutex, PoisonError};

/// A part of a path, without the query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "tests write it")]
pub enum PathPart {
    /// It ends so.
    End(&'static str),
    /// It has this in it.
    Within(&'static str),
}

impl PathPart {
    fn fits(self, path: &str) -> bool {
        match self {
            Self::End(end) => path.ends_with(end),
            Self::Within(part) => path.contains(part),
        }
    }
}

#[derive(Debug)]
struct Planned<F> {
    method: Method,
    path: PathPart,
    fault: F,
    left: u32,
}

/// Faults that wait for their requests; `F` is what can go wrong with a server.
#[derive(Debug)]
pub struct FaultPlan<F> {
    planned: Mutex<Vec<Planned<F>>>,
}

impl<F> Default for FaultPlan<F> {
    fn default() -> Self {
        Self {
            planned: Mutex::default(),
        }
    }
}

impl<F: Clone> FaultPlan<F> {
    /// Has the next `times` requests of this kind fail so, behind those that are planned already. `times` is at least 1.
    pub fn add(&self, method: Method, path: PathPart, fault: F, times: u32) {
        let mut planned = self.planned.lock().unwrap_or_else(PoisonError::into_inner);
        planned.push(Planned {
            method,
            path,
            fault,
            left: times,
        });
    }

    /// Ends all that is planned.
    pub fn clear(&self) {
        self.planned.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Takes the fault of a request, if one waits for it.
    pub fn take(&self, method: &Method, path: &str) -> Option<F> {
        let mut planned = self.planned.lock().unwrap_or_else(PoisonError::into_inner);
        let at = planned
            .iter()
            .position(|one| one.method == *method && one.path.fits(path))?;
        let one = &mut planned[at];
        one.left = one.left.saturating_sub(1);
        let (fault, is_spent) = (one.fault.clone(), one.left == 0);
        if is_spent {
            planned.remove(at);
        }
        Some(fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_meets_its_requests_in_turn_and_so_often() {
        let plan = FaultPlan::default();
        plan.add(Method::GET, PathPart::End("/jobs"), 'a', 2);
        plan.add(Method::GET, PathPart::Within("/jobs"), 'b', 1);
        let take = |path| plan.take(&Method::GET, path);
        assert_eq!(plan.take(&Method::POST, "/jobs"), None);
        assert_eq!((take("/jobs/1"), take("/jobs/1")), (Some('b'), None));
        assert_eq!(
            (take("/jobs"), take("/jobs"), take("/jobs")),
            (Some('a'), Some('a'), None)
        );
        plan.add(Method::GET, PathPart::Within(""), 'c', 1);
        plan.clear();
        assert_eq!(take("/"), None);
    }
}

//! Trials that ask for further parameters, from the file to the export.

use crate::lab::Lab;
use serde_json::Value;

/// Reports the `x` of its parameters, asks for further ones and reports theirs.
const TWO: &str = r#"
test "$MULTI_PHASE" = true || exit 9
member() { sed "s/.*\"$2\": \([0-9]*\).*/\1/" "$1"; }
say() { printf "NNISDK_MEb'%s'\n" "$1" >>"$NNI_SYS_DIR/.nni/metrics"; }
result() { say "{\"type\": \"FINAL\", \"parameter_id\": $(member "$1" parameter_id), \"value\": $(member "$1" x)}"; }
result "$NNI_SYS_DIR/parameter.cfg"
say '{"type": "REQUEST_PARAMETER", "parameter_index": 1}'
while [ -d "$LAB" ] && [ ! -s "$NNI_SYS_DIR/parameter_1.cfg" ]; do sleep 0.02; done
result "$NNI_SYS_DIR/parameter_1.cfg"
"#;

#[test]
fn each_set_of_parameters_is_shown_and_exported_with_its_own_result() {
    let lab = Lab::new();
    lab.config(2, TWO, "tsctl: {multiPhase: true}\n");
    let ran = lab.run(&["run", "config.yml", "--json"]).exits(0).json();
    let id = ran["experiment"]["id"].as_str().expect("an id");
    let trials = lab.trials();
    assert_eq!(trials.len(), 2, "phases are no trials");
    let mut expected = Vec::new();
    for trial in &trials {
        assert_eq!(trial["status"], "SUCCEEDED", "{trial}");
        let own = &trial["parameters"]["parameters"]["x"];
        assert_eq!(trial["finalNumber"].as_f64(), own.as_f64(), "of the result: {trial}");
        let phases = trial["phases"].as_array().expect("phases");
        assert_eq!(phases.len(), 2, "{trial}");
        for phase in phases {
            let x = &phase["parameters"]["parameters"]["x"];
            assert_eq!(phase["finalNumber"].as_f64(), x.as_f64(), "{trial}");
            expected.push((trial["id"].clone(), x.clone()));
        }
    }
    let page = lab.run(&["status", id]).exits(0).stdout;
    let best = page.lines().find(|line| line.starts_with("best")).expect("a best one");
    let number = best.split_whitespace().nth(1).expect("a number");
    assert!(best.ends_with(&format!("{{\"x\":{number}}}")), "{best}");
    let exported: Value = lab.run(&["export", id]).exits(0).json();
    let rows: Vec<_> = exported
        .as_array()
        .expect("a list")
        .iter()
        .map(|row| (row["trialJobId"].clone(), row["parameter"]["x"].clone()))
        .collect();
    assert_eq!(rows, expected);
    let csv = lab.run(&["export", id, "--format", "csv"]).exits(0).stdout;
    assert_eq!(csv.lines().count(), 5, "{csv}");
}

#[test]
fn an_algorithm_that_plans_whole_trials_is_refused() {
    let lab = Lab::new();
    lab.config(2, TWO, "tsctl: {multiPhase: true}\n");
    let text = std::fs::read_to_string(lab.path("config.yml")).expect("a file");
    lab.write("config.yml", &text.replace("{name: Random}", "{name: BOHB}"));
    let ran = lab.run(&["validate", "config.yml"]).exits(2);
    assert!(
        ran.stderr.contains("`BOHB` plans whole trials")
            && ran.stderr.contains("key: tsctl.multiPhase")
            && ran.stderr.contains("help: "),
        "{ran:#?}"
    );
}

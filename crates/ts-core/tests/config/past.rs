//! Configurations of experiments that ran: they are read when their code is gone.

use super::{Folder, V1, V2, good, problems};

#[test]
fn code_of_an_experiment_of_the_past_may_be_gone() {
    let folder = Folder::new();
    let custom = "tuner: {codeDir: gone, classFileName: t.py, className: T}";
    let v1 = V1.replace("codeDir: .", "codeDir: gone").replace(
        "tuner:\n  builtinTunerName: TPE\n  classArgs:\n    optimize_mode: maximize\n  gpuIndices: 0",
        custom,
    );
    let v2 = format!("trialCodeDirectory: gone\n{V2}");
    for text in [v1, v2] {
        let text = text.replace("search_space.json", "gone.json");
        assert!(problems(&folder.parse(&text)).len() >= 2, "{text}");
        let past = folder.parse_past(&text);
        assert_eq!(problems(&past), [""; 0], "{text}");
        assert!(good(past).code.path.ends_with("gone"));
        let wrong = text.replace("Concurrency: ", "Concurrency: x");
        assert_eq!(problems(&folder.parse_past(&wrong)).len(), 1, "all else counts");
    }
}

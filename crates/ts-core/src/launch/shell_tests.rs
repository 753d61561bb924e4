//! Which commands are neutral, with the reason, and proof that neutral ones agree between shells.

use super::*;
use crate::launch::test_shells::present;
use std::collections::HashSet;

#[test]
fn commands_go_to_the_cheapest_shell_that_reads_them_alike() {
    use Interpreter::{Bash, Exec, Own};
    let cases = [
        ("python3 train.py --lr 0.1", Exec, "one program"),
        ("sh trial.sh", Exec, "one program"),
        (
            "./run --a==b 2>&1 >>\"log file\"",
            Exec,
            "redirections are the same everywhere",
        ),
        ("$NNI_CODE_DIR/bin/train", Exec, "a path is never a builtin"),
        (
            "printf 'ME%s\\n' x >> \"$NNI_SYS_DIR/.nni/metrics\"",
            Own,
            "a builtin in every shell",
        ),
        ("A=1 python3 t.py", Own, "exec takes no assignment"),
        ("cd src && python3 t.py || false; true", Own, "a list"),
        ("cat f | sort", Own, "a pipeline"),
        ("true;", Own, "a trailing semicolon"),
        ("source activate x && python t.py", Bash, "dash has no source"),
        (". ./env.sh", Bash, "search rules differ"),
        ("echo hi", Bash, "escapes and -n differ"),
        ("'echo' hi", Bash, "quoting does not hide a builtin"),
        ("module load cuda", Bash, "a function that bash inherits"),
        ("exit 3", Bash, "changes the shell"),
        ("time python t.py", Bash, "a keyword in bash alone"),
        ("a &> f", Bash, "background in sh"),
        ("a & b", Bash, "background"),
        ("a |& b", Bash, "bash only"),
        ("cat <<< x", Bash, "bash only"),
        ("cat <(a)", Bash, "bash only"),
        ("[[ a == b ]]", Bash, "bash only"),
        ("test a == b", Bash, "== is bash's"),
        ("cat a{1,2}", Bash, "braces are bash's"),
        ("cat ${x//a/b}", Bash, "bash only"),
        ("cat $'a'", Bash, "bash only"),
        ("cat $RANDOM", Bash, "not a variable in dash"),
        ("x=~/a cmd", Bash, "tilde after = differs"),
        ("$NNI_COMMAND a", Bash, "may expand to a builtin"),
        ("printf '%q' x", Bash, "bash only"),
        ("printf -v x y", Bash, "bash only"),
        ("printf '\\x41'", Bash, "dash has no \\x"),
        ("printf '\\\"'", Bash, "bash drops the backslash"),
        ("a 3> f", Bash, "other descriptors are rare"),
        ("a+=1 b", Bash, "an assignment in bash alone"),
        ("IFS=x a", Bash, "changes reading"),
        ("a > $HOME", Bash, "unquoted file names are split in bash"),
        ("a &&", Bash, "not complete"),
        ("&& a", Bash, "not complete"),
        ("a ;; b", Bash, "not complete"),
        ("a > ", Bash, "not complete"),
        ("a 'b", Bash, "open quote"),
        ("a\nb", Bash, "several lines"),
        ("if a; then b; fi", Bash, "compound"),
        ("'A=1' b", Bash, "quoted, hence no assignment"),
        ("", Bash, "empty"),
    ];
    for (command, expected, reason) in cases {
        assert_eq!(interpreter(command), expected, "{command}: {reason}");
        assert_eq!(shell_neutral(command), expected != Bash, "{command}: {reason}");
    }
}

#[test]
fn neutral_commands_agree_between_shells() {
    let samples = [
        "printf 'a\\tb\\n%s %d%%\\n' x 3",
        "printf \"%s\\n\" \"a\\\\b \\$HOME\"",
        "cat missing 2>err; cat err >/dev/null && printf 'yes'",
        "printf 'b\\na\\n' | sort >>out && cat out",
        "false || printf '%s' --a==b,c:d@e%f^g",
        "A=1 env | grep ^A=",
        "cd / && pwd",
        "nosuchprogram-here 2>/dev/null",
        "printf '%s\\n' ~/x \"$HOME\"",
        "false && true; false",
    ];
    for sample in samples {
        assert!(shell_neutral(sample), "{sample}");
        let results: HashSet<_> = present()
            .into_iter()
            .map(|shell| {
                let dir = tempfile::tempdir().expect("a directory");
                let output = shell.output(sample, dir.path());
                (output.status.code(), output.stdout)
            })
            .collect();
        assert_eq!(results.len(), 1, "{sample}: {results:?}");
    }
}

//! Which shell reads the user's command: a lexical test that allows what is known to mean the same everywhere.
//!
//! NNI hands commands to bash, and users rely on it (`source activate x && …`). So bash reads a command unless every
//! part of it is on the lists here. A wrong "no" costs a process; a wrong "yes" would change a trial's meaning.

/// Who runs a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the script has no other way to run a command")]
pub enum Interpreter {
    /// One program with its arguments: the script's subshell becomes it.
    Exec,
    /// The script's own shell: a list, a pipeline, or a builtin, of commands that mean the same everywhere.
    Own,
    /// bash where the machine has it, else the script's own shell.
    Bash,
}

/// Whether `command` means the same in every POSIX shell, by a conservative list of what is allowed.
pub fn shell_neutral(command: &str) -> bool {
    interpreter(command) != Interpreter::Bash
}

/// Chooses who runs `command`.
pub fn interpreter(command: &str) -> Interpreter {
    let Some(tokens) = Lexer::tokens(command) else {
        return Interpreter::Bash;
    };
    let Some(commands) = simple_commands(&tokens) else {
        return Interpreter::Bash;
    };
    if !commands.iter().all(|words| is_known(words)) {
        return Interpreter::Bash;
    }
    let [only] = commands.as_slice() else {
        return Interpreter::Own;
    };
    if only[0].is_assignment() || BUILTINS.contains(&only[0].text.as_str()) {
        return Interpreter::Own;
    }
    Interpreter::Exec
}

/// Builtins that mean the same everywhere; `printf` under the rules of [`printf_is_known`].
const BUILTINS: &[&str] = &["cd", "false", "printf", "pwd", "true"];

/// Reserved words, builtins that differ or change the shell, and functions that bash alone inherits from its environment.
#[rustfmt::skip]
const DENIED: &[&str] = &[
    ".", ":", "[", "[[", "]]", "alias", "bg", "bind", "break", "builtin", "caller", "case", "chdir", "command", "compgen",
    "complete", "compopt", "conda", "continue", "coproc", "declare", "dirs", "disown", "do", "done", "echo", "elif", "else",
    "enable", "esac", "eval", "exec", "exit", "export", "fc", "fg", "fi", "for", "function", "getopts", "hash", "help",
    "history", "if", "in", "jobs", "kill", "let", "local", "logout", "mamba", "mapfile", "micromamba", "ml", "module",
    "popd", "pushd", "read", "readarray", "readonly", "return", "select", "set", "shift", "shopt", "source", "spack",
    "suspend", "test", "then", "time", "times", "trap", "type", "typeset", "ulimit", "umask", "unalias", "unset", "until",
    "wait", "which", "while",
];

/// Variables that no shell sets by itself in its own way.
#[rustfmt::skip]
const VARIABLES: &[&str] = &[
    "CONDA_PREFIX", "CUDA_VISIBLE_DEVICES", "HOME", "LANG", "LD_LIBRARY_PATH", "LOGNAME", "PATH", "PYTHONPATH", "TMPDIR",
    "USER", "VIRTUAL_ENV",
];

/// Variables that change how a shell reads or finds commands.
const SHELL_VARIABLES: &[&str] = &["CDPATH", "ENV", "IFS", "PATH", "POSIXLY_CORRECT", "PWD", "SHELLOPTS"];

#[derive(Debug, Default)]
struct Word {
    /// Without its quotes; variables as written.
    text: String,
    quoted: bool,
    /// A quote came before any `=`, so the word is no assignment.
    quoted_name: bool,
    variable: bool,
}

impl Word {
    fn quote(&mut self) {
        self.quoted = true;
        self.quoted_name |= !self.text.contains('=');
    }

    fn is_assignment(&self) -> bool {
        !self.quoted_name
            && self.text.split_once('=').is_some_and(|(name, _)| {
                let legal = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
                legal && name.bytes().next().is_some_and(|b| !b.is_ascii_digit())
            })
    }
}

#[derive(Debug)]
enum Token {
    Word(Word),
    /// `&&`, `||`, `|`: a command has to follow.
    Join,
    /// `;`
    End,
    /// `>`, `>>`: a file has to follow.
    Redirect,
}

/// Words of each command, redirections taken out; `None` if the command is no sequence of simple commands.
fn simple_commands(tokens: &[Token]) -> Option<Vec<Vec<&Word>>> {
    let mut commands: Vec<Vec<&Word>> = vec![Vec::new()];
    let mut joined = false;
    let mut tokens = tokens.iter().peekable();
    while let Some(token) = tokens.next() {
        match token {
            Token::Word(word) => {
                joined = false;
                commands.last_mut()?.push(word);
            }
            Token::Redirect => match tokens.next() {
                // bash refuses a file name that expands to several words, others do not.
                Some(Token::Word(file)) if !file.variable || file.quoted => {}
                _ => return None,
            },
            Token::Join | Token::End => {
                if commands.last()?.is_empty() {
                    return None;
                }
                joined = matches!(token, Token::Join);
                if joined || tokens.peek().is_some() {
                    commands.push(Vec::new());
                }
            }
        }
    }
    (!joined && commands.iter().all(|words| !words.is_empty())).then_some(commands)
}

fn is_known(words: &[&Word]) -> bool {
    let n_assignments = words.iter().take_while(|word| word.is_assignment()).count();
    let sets_shell = words[..n_assignments].iter().any(|word| {
        let name = word.text.split('=').next().unwrap_or_default();
        name.starts_with("BASH") || SHELL_VARIABLES.contains(&name)
    });
    let Some(name) = words.get(n_assignments) else {
        return !sets_shell;
    };
    let is_path = name.text.contains('/');
    // The shell decides by the unquoted text whether a word is an assignment, and by the expanded text what it runs.
    let doubtful = name.text.is_empty() || name.text.contains('=') || (name.variable && !is_path);
    if sets_shell || doubtful || DENIED.contains(&name.text.as_str()) {
        return false;
    }
    name.text != "printf" || printf_is_known(&words[n_assignments + 1..])
}

/// `printf` with a constant format of plain `%s`, `%d`, `%i`, `%u`, `%%` and the escapes that all shells read alike.
fn printf_is_known(arguments: &[&Word]) -> bool {
    let Some(format) = arguments.first() else {
        return false;
    };
    if format.variable || format.text.starts_with('-') {
        return false;
    }
    let mut chars = format.text.chars();
    while let Some(c) = chars.next() {
        let known = match c {
            '%' => chars.next().is_some_and(|c| "sdiu%".contains(c)),
            '\\' => chars.next().is_some_and(|c| "nrt\\abfv".contains(c)),
            _ => true,
        };
        if !known {
            return false;
        }
    }
    true
}

/// Splits a command into tokens; ends with `None` at the first character that is not on its list.
struct Lexer<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    word: Option<Word>,
    tokens: Vec<Token>,
}

impl<'a> Lexer<'a> {
    fn tokens(command: &'a str) -> Option<Vec<Token>> {
        let mut lexer = Self {
            rest: command.trim_matches([' ', '\t']).chars().peekable(),
            word: None,
            tokens: Vec::new(),
        };
        while let Some(c) = lexer.rest.next() {
            lexer.step(c)?;
        }
        lexer.end_word();
        Some(lexer.tokens)
    }

    fn step(&mut self, c: char) -> Option<()> {
        match c {
            ' ' | '\t' => self.end_word(),
            '\'' => self.single_quoted()?,
            '"' => self.double_quoted()?,
            '$' => self.variable()?,
            ';' => self.operator(Token::End),
            '&' => {
                self.rest.next_if_eq(&'&')?;
                self.operator(Token::Join);
            }
            '|' => {
                self.rest.next_if_eq(&'|');
                self.operator(Token::Join);
            }
            '>' => self.redirect()?,
            '~' => {
                // Only a home directory at the start of a word; `~+` and `a=~` are read in different ways.
                let ends = self.rest.peek().is_none_or(|next| matches!(next, '/' | ' '));
                (self.word.is_none() && ends).then_some(())?;
                self.push(c);
            }
            c if c.is_ascii_alphanumeric() || "-_./=:,+@%^".contains(c) => self.push(c),
            _ => return None,
        }
        Some(())
    }

    fn push(&mut self, c: char) {
        self.word.get_or_insert_default().text.push(c);
    }

    fn end_word(&mut self) {
        self.tokens.extend(self.word.take().map(Token::Word));
    }

    fn operator(&mut self, token: Token) {
        self.end_word();
        self.tokens.push(token);
    }

    /// `>` and `>>`, after nothing, `1` or `2`; `>&1` and `>&2` end here.
    fn redirect(&mut self) -> Option<()> {
        match self.word.take() {
            Some(word) if !word.quoted && matches!(word.text.as_str(), "1" | "2") => {}
            Some(word) if !word.quoted && word.text.bytes().all(|b| b.is_ascii_digit()) => return None,
            word => self.tokens.extend(word.map(Token::Word)),
        }
        if self.rest.next_if_eq(&'&').is_some() {
            self.rest.next_if(|c| matches!(c, '1' | '2'))?;
            return self.rest.peek().is_none_or(|c| " ;|&>".contains(*c)).then_some(());
        }
        self.rest.next_if_eq(&'>');
        self.tokens.push(Token::Redirect);
        Some(())
    }

    fn single_quoted(&mut self) -> Option<()> {
        self.word.get_or_insert_default().quote();
        loop {
            match self.rest.next()? {
                '\'' => return Some(()),
                c => self.push(c),
            }
        }
    }

    fn double_quoted(&mut self) -> Option<()> {
        self.word.get_or_insert_default().quote();
        loop {
            match self.rest.next()? {
                '"' => return Some(()),
                '$' => self.variable()?,
                '`' | '!' => return None,
                '\\' => match self.rest.next()? {
                    c @ ('"' | '\\' | '$' | '`') => self.push(c),
                    '\n' => {}
                    c => {
                        self.push('\\');
                        self.push(c);
                    }
                },
                c => self.push(c),
            }
        }
    }

    /// `$NAME` of a name on the list.
    fn variable(&mut self) -> Option<()> {
        let mut name = String::new();
        while let Some(c) = self.rest.next_if(|c| c.is_ascii_alphanumeric() || *c == '_') {
            name.push(c);
        }
        (name.starts_with("NNI_") || VARIABLES.contains(&name.as_str())).then_some(())?;
        let word = self.word.get_or_insert_default();
        word.variable = true;
        word.text.push('$');
        word.text.push_str(&name);
        Some(())
    }
}

#[cfg(test)]
#[path = "shell_tests.rs"]
mod tests;

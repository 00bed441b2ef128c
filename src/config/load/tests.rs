use super::*;
use crate::config::{AutoCommit, EnvName, Limits, Size, Span};

fn source(text: &str) -> Source<'_> {
    Source {
        path: Path::new("khlone.yml"),
        bytes: text.as_bytes(),
    }
}

fn repo(text: &str) -> Result<Loaded, ConfigError> {
    Config::load(None, Some(source(text)))
}

#[test]
fn nothing_said_is_all_defaults() {
    for text in ["", "# only a remark\n", "brains:\n  codex:\n", "limits:\n"] {
        let loaded = repo(text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
        assert_eq!(loaded.config.limits, Limits::default());
        assert!(loaded.asks.is_empty(), "{:?}", loaded.asks);
    }
    assert_eq!(Config::load(None, None), Ok(Loaded::default()));
}

#[test]
fn the_defaults_are_those_of_the_design() {
    let yaml = Config::default().to_yaml();
    insta::assert_snapshot!(yaml);
    assert_eq!(
        repo(
            &yaml
                .replace("redact:\n  allow: []\n", "")
                .replace("readable: []\nwritable: []\n", "")
        )
        .unwrap()
        .config,
        Config::default()
    );
}

#[test]
fn every_slip_is_named_with_its_place() {
    let slips = [
        "limts: {}\n",
        "brains:\n  codex:\n    modle: x\n",
        "commit:\n  max: 1\n",
        "commit: nver\n",
        "permissions: al\n",
        "limits:\n  task: 90\n",
        "limits:\n  blob: 9x\n",
        "limits:\n  queue: 0\n",
        "hero: foreman++\n",
        "env: [HOME, 1X]\n",
        "worktree:\n  copy: [a, ../x]\n",
        "branch:\n  prefix: a//b\n",
        "brains:\n  codex: {}\n  codex: {}\n",
        "brains:\n  Codex: {}\n",
        "roles:\n  a:\n    brain: B\n",
        "roles:\n  a:\n    model: [x]\n",
        "brains: 3\n",
        "- a\n",
        "a: [\n",
        "\u{0}",
        "x: &a [*a]\n",
        "redact: {allow: [x]}\n",
        "hero: foreman\nredact:\n  allow: [x]\n",
    ];
    let told: Vec<String> = slips.map(|slip| repo(slip).unwrap_err().to_string()).into();
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn the_repository_counts_over_the_user_key_by_key() {
    let user = "limits: {queue: 5, task: 1h}\nenv: [A]\ncommit: never\nredact: {allow: [x]}\n";
    let repo = "limits: {task: 3h}\nenv: [B]\ncommit: {max_file: 1KiB}\n";
    let config = Config::load(Some(source(user)), Some(source(repo)))
        .unwrap()
        .config;
    assert_eq!(config.limits.queue.get(), 5);
    assert_eq!(config.limits.task, Span::secs(3 * 3600));
    assert_eq!(config.env.iter().map(EnvName::as_str).collect::<Vec<_>>(), ["B"]);
    assert_eq!(
        (config.commit.mode, config.commit.max_file),
        (AutoCommit::Never, Size::bytes(1024))
    );
    assert_eq!(config.redact.allow, ["x"]);
}

#[test]
fn the_sandbox_is_the_users() {
    let both = |user: &str, repo: &str| Config::load(Some(source(user)), Some(source(repo))).unwrap();
    assert_eq!(
        both("sandbox: require", "sandbox: off").config.sandbox,
        Sandbox::Require
    );
    assert_eq!(
        both("sandbox: auto", "sandbox: require").config.sandbox,
        Sandbox::Auto
    );
    assert_eq!(both("", "sandbox: require").config.sandbox, Sandbox::Require);
}

#[test]
fn a_repository_never_raises_how_much_runs_on_the_users_machine() {
    let running = |user: &str, repo: &str| {
        let loaded = Config::load(Some(source(user)), Some(source(repo))).unwrap();
        loaded.config.limits.running.get()
    };
    assert_eq!(running("limits: {running: 3}", "limits: {running: 9}"), 3);
    assert_eq!(running("limits: {running: 3}", "limits: {running: 2}"), 2);
    assert_eq!(running("limits: {queue: 3}", "limits: {running: 9}"), 9);
}

#[test]
fn what_widens_a_brains_reach_is_asked_for() {
    let loaded = repo(concat!(
        "worktree: {setup: [npm ci, 'make deps']}\npermissions: all\nsandbox: off\nenv: [AWS_PROFILE]\n",
        "delegation: allow\nbrains: {codex: {path: ./x, env: [K], allow: ['Bash(make)'], permissions: all}}\n",
    ));
    let asks: Vec<_> = loaded.unwrap().asks.iter().map(|words| words.join(" ")).collect();
    assert_eq!(
        asks,
        [
            "worktree.setup: sh -c npm ci",
            "worktree.setup: sh -c make deps",
            "env: AWS_PROFILE",
            "permissions: all",
            "sandbox: off",
            "delegation: allow",
            "brains.codex.path: ./x",
            "brains.codex.permissions: all",
            "brains.codex.allow: Bash(make)",
            "brains.codex.env: K",
        ]
    );
    // The user's own file asks nobody.
    let own = Config::load(Some(source("worktree: {setup: [npm ci]}")), None).unwrap();
    assert!(own.asks.is_empty(), "{:?}", own.asks);
}

#[test]
fn a_file_that_is_no_config_is_refused_early() {
    let bytes = vec![b'#'; MAX_FILE + 1];
    let source = Source {
        path: Path::new("khlone.yml"),
        bytes: &bytes,
    };
    let error = Config::load(None, Some(source)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "khlone.yml: 1048577 bytes are too many for a config file"
    );
}

#[test]
fn a_role_has_the_model_of_its_own_brain_only() {
    let config = repo(concat!(
        "roles: {mechanic: {brain: codex, model: big}, scout: {model: quick}}\n",
        "brains: {codex: {model: usual}, claude: {model: other}}\n",
    ));
    let config = config.unwrap().config;
    let model = |role: &str, brain: &str| config.model_of(&role.parse().unwrap(), &brain.parse().unwrap());
    assert_eq!(model("mechanic", "codex").as_deref(), Some("big"));
    assert_eq!(model("mechanic", "claude").as_deref(), Some("other"));
    assert_eq!(model("scout", "claude").as_deref(), Some("quick"));
    assert_eq!(model("foreman", "codex").as_deref(), Some("usual"));
    assert_eq!(model("foreman", "gemini"), None);
}

proptest::proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200), text in "[a-z:{}\\[\\] \n&*-]{0,60}") {
        let path = Path::new("khlone.yml");
        let _any = Config::load(None, Some(Source { path, bytes: &bytes }));
        let _any = Config::load(None, Some(Source { path, bytes: text.as_bytes() }));
    }
}

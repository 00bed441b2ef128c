use super::*;

fn ground(common: &str, main: Option<&str>) -> (String, String) {
    let ground = Ground::of(Path::new(common), main.map(Path::new));
    let rules = Rules {
        root: None,
        data_home: Path::new("/data"),
    };
    let holder = ground.holders(&rules).remove(0);
    let folder = ground.folder(&ZoneId::of_branch("main"), &"foreman.1".parse().unwrap());
    (
        holder.display().to_string(),
        folder.to_string_lossy().into_owned(),
    )
}

#[test]
fn the_holder_stands_beside_the_repository() {
    let expect = |common, main, holder: &str, folder: &str| {
        assert_eq!(
            ground(common, main),
            (holder.to_owned(), folder.to_owned()),
            "{common}"
        );
    };
    expect(
        "/w/app/.git",
        Some("/w/app"),
        "/w/app.khlone",
        "app-main.foreman.1",
    );
    expect("/srv/x.git", None, "/srv/x.khlone", "x-main.foreman.1");
    expect("/srv/x", None, "/srv/x.khlone", "x-main.foreman.1");
    expect("/w/app/.bare", None, "/w/app.khlone", "app-main.foreman.1");
    expect("/w/app/.git", None, "/w/app.khlone", "app-main.foreman.1");
    expect(
        "/elsewhere/git",
        Some("/w/a b"),
        "/w/a b.khlone",
        "a b-main.foreman.1",
    );
    expect(
        "/w/app/.git/modules/lib",
        Some("/w/app/vendor/lib"),
        "/w/lib.khlone",
        "lib-main.foreman.1",
    );
    expect(
        "/w/.config/.git",
        Some("/w/.config"),
        "/w/config.khlone",
        "config-main.foreman.1",
    );
    expect(
        "/.git",
        Some("/"),
        "/data/khlone/repository.khlone",
        "repository-main.foreman.1",
    );
}

#[test]
fn long_names_are_cut_between_characters() {
    let long = OsString::from("ü".repeat(100));
    let cut = trimmed(&long);
    assert_eq!(cut.to_str().unwrap().chars().count(), 60);
}

#[test]
fn the_setting_is_relative_to_the_work_tree() {
    let ground = Ground::of(Path::new("/w/app/.git"), Some(Path::new("/w/app")));
    let rules = |root| Rules {
        root: Some(Path::new(root)),
        data_home: Path::new("/data"),
    };
    assert_eq!(ground.holders(&rules("../zones")), [PathBuf::from("/w/zones")]);
    assert_eq!(ground.holders(&rules("/tmp/z")), [PathBuf::from("/tmp/z")]);
}

#[test]
fn a_clones_folder_is_known_by_its_name() {
    let ground = Ground::of(Path::new("/w/a-b/.git"), Some(Path::new("/w/a-b")));
    for branch in ["main", "feat/auth", "修正"] {
        let mut name = ground.folder(&ZoneId::of_branch(branch), &"code-reviewer.12".parse().unwrap());
        assert!(ground.gives(&name), "{}", name.display());
        name.push("-2");
        assert!(ground.gives(&name), "{}", name.display());
    }
    for name in [
        "a-b",
        "a-b-main",
        "a-b-v1.2",
        "a-b-main.notes",
        "b-main.foreman.1",
        "a-b-main.foreman.01",
    ] {
        assert!(!ground.gives(OsStr::new(name)), "{name}");
    }
}

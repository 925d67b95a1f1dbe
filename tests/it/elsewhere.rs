//! Stores on other machines: checkpoints, history, final rows and query results in S3, current
//! values in a Redis that speaks TLS only.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::poll;
use crate::process::Process;

const LIMIT: Duration = Duration::from_secs(60);

/// A directory with definitions, and what every command is given.
struct Stage {
    directory: tempfile::TempDir,
    env: Vec<(&'static str, String)>,
}

impl Stage {
    fn new(definitions: &str, env: Vec<(&'static str, String)>) -> Self {
        let stage = Self { directory: tempfile::tempdir().unwrap(), env };
        std::fs::write(stage.directory.path().join("all.sql"), definitions).unwrap();
        stage
    }

    fn command(&self, home: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_skewless"));
        command.arg("--home").arg(home).args(arguments).stdin(Stdio::null());
        command.env_remove("SKEWLESS_HOME").current_dir(self.directory.path());
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    fn output(&self, arguments: &[&str]) -> Output {
        self.command("home", arguments).output().unwrap()
    }

    #[track_caller]
    fn succeeds(&self, arguments: &[&str]) -> (String, String) {
        let output = self.output(arguments);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, said) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{arguments:?}\n{out}\n{said}");
        (out, said)
    }
}

fn spend(source_options: &str, feature_options: &str) -> String {
    format!(
        "CREATE SOURCE payments (
             user_id BIGINT NOT NULL, amount DOUBLE, event_time TIMESTAMP NOT NULL,
             WATERMARK FOR event_time AS event_time - INTERVAL '5 seconds'
         ) WITH ('connector' = 'datagen', 'rows' = '60000', {source_options});
         CREATE FEATURE spend WITH ({feature_options}) AS
         SELECT user_id, COUNT(*) OVER w AS n, SUM(amount) OVER w AS total FROM payments
         WINDOW w AS (PARTITION BY user_id ORDER BY event_time
                      RANGE BETWEEN INTERVAL '1 hour' PRECEDING AND CURRENT ROW);"
    )
}

/// The S3 API that `scripts/services` has started, and a bucket that was not there before.
fn bucket() -> Option<(Vec<(&'static str, String)>, String)> {
    let Ok(endpoint) = std::env::var("S3") else {
        let told = std::env::var_os("SKEWLESS_NO_S3").is_some();
        assert!(told, "S3 is not set: eval \"$(scripts/services env)\" after scripts/services up");
        return None;
    };
    let unique = tempfile::tempdir().unwrap();
    let unique = unique.path().file_name().unwrap().to_string_lossy().replace('.', "");
    let bucket = format!("skewless-{}", unique.to_lowercase());
    let address = endpoint.trim_start_matches("http://");
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let request = format!(
        "PUT /{bucket} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\n\
         Connection: close\r\n\r\n"
    );
    std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let env = vec![
        ("AWS_ENDPOINT", endpoint),
        ("AWS_ALLOW_HTTP", "true".to_owned()),
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_ACCESS_KEY_ID", "nobody".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "nothing".to_owned()),
    ];
    Some((env, format!("s3://{bucket}")))
}

#[test]
fn everything_that_is_kept_can_be_kept_in_s3() {
    let Some((env, bucket)) = bucket() else {
        println!("no S3 here: scripts/services could not install it");
        return;
    };
    let definitions = spend(
        &format!("'rate' = '30000', 'history' = '{bucket}/history', 'archive' = 'true'"),
        &format!("'offline' = '{bucket}/offline'"),
    );
    let stage = Stage::new(&definitions, env);
    stage.succeeds(&["apply", "all.sql"]);
    let checkpoints = format!("{bucket}/checkpoints");
    let run = ["--checkpoints", &checkpoints, "run", "--checkpoint-interval", "0.2"];
    let start = |home: &str, more: &[&str]| {
        let mut command = stage.command(home, &[&run[..], more].concat());
        Process(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap())
    };
    let epoch = |home: &str| {
        let output = stage.command(home, &["status", "--format", "json"]).output().unwrap();
        let status: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
        status["running"]["address"].as_str()?;
        status["checkpoint"]["epoch"].as_u64()
    };
    // Killed, and continued in another home.
    let http = ["--http", "127.0.0.1:0"];
    let mut killed = start("home", &http);
    poll::until("checkpoints", LIMIT, || epoch("home").filter(|epoch| *epoch > 2));
    killed.0.kill().unwrap();
    let mut overtaken = start("home", &http);
    poll::until("its own epoch", LIMIT, || epoch("home").filter(|epoch| *epoch > 5));
    assert!(stage.command("second", &["apply", "all.sql"]).output().unwrap().status.success());
    let end = [&run[..], &["--no-http", "--until", "end"]].concat();
    // Where the first commits in the very moment between, the second is refused.
    let (said, code) = poll::until("the end", LIMIT, || {
        let output = stage.command("second", &end).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code() != Some(75)).then_some((said, output.status.code()))
    });
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("every window closed"), "{said}");
    assert_eq!(overtaken.0.wait().unwrap().code(), Some(75));
    let compared = stage.command("second", &["backfill", "spend", "--compare", "--out"]);
    let compared = { compared }.arg(format!("{bucket}/again.parquet")).output().unwrap();
    let out = String::from_utf8_lossy(&compared.stdout);
    assert!(compared.status.success() && out.contains(", 0 different"), "{compared:?}");
    // Read and written by plain SQL, and by a training set.
    let sql = format!(
        "COPY (SELECT user_id, event_time AS t FROM '{bucket}/again.parquet' ORDER BY 2, 1 \
         LIMIT 100) TO '{bucket}/labels.parquet'"
    );
    stage.succeeds(&["sql", "-e", &sql]);
    let (labels, out) = (format!("{bucket}/labels.parquet"), format!("{bucket}/train.parquet"));
    let asked = ["training-set", "--labels", &labels, "--time", "t", "--features", "spend:n"];
    let set = stage.command("second", &asked).args(["--out", &out]).output().unwrap();
    assert!(set.status.success(), "{}", String::from_utf8_lossy(&set.stderr));
    let sql = format!("SELECT COUNT(*) AS k, COUNT(n) AS n FROM '{out}'");
    let (rows, _) = stage.succeeds(&["sql", "--format", "csv", "-e", &sql]);
    let rows: Vec<&str> = rows.lines().collect();
    assert!(rows[0] == "k,n" && rows[1].starts_with("100,"), "{rows:?}");
}

/// A certificate for 127.0.0.1 and its key.
fn certificate(directory: &Path) {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-nodes", "-days", "1", "-subj", "/CN=values.example"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=CA:FALSE"])
        .args(["-keyout", "key.pem", "-out", "cert.pem"])
        .current_dir(directory)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

#[test]
fn current_values_go_over_tls_to_a_server_whose_certificate_is_trusted() {
    let server = tempfile::tempdir().unwrap();
    certificate(server.path());
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let port = port.to_string();
    let redis = Command::new("redis-server")
        .args(["--port", "0", "--tls-port", &port, "--bind", "127.0.0.1", "--save", ""])
        .args(["--tls-cert-file", "cert.pem", "--tls-key-file", "key.pem"])
        .args(["--tls-auth-clients", "no", "--requirepass", "canary-secret"])
        .current_dir(server.path())
        .stdout(Stdio::null())
        .spawn();
    let _redis = Process(redis.unwrap());
    poll::until("redis", LIMIT, || std::net::TcpStream::connect(format!("127.0.0.1:{port}")).ok());
    let url = format!("rediss://:canary-secret@127.0.0.1:{port}/0");
    let definitions = spend("'seed' = '1'", "'online' = '${VALUES}'");
    let trusted = server.path().join("cert.pem").display().to_string();
    let stage = |authorities: &str| {
        let env = vec![("VALUES", url.clone()), ("SSL_CERT_FILE", authorities.to_owned())];
        let stage = Stage::new(&definitions, env);
        stage.succeeds(&["apply", "all.sql"]);
        stage
    };
    let run = ["run", "--no-http", "--until", "now"];
    let trusting = stage(&trusted);
    trusting.succeeds(&run);
    let (value, _) = trusting.succeeds(&["get", "spend", "1"]);
    assert!(value.contains("total"), "{value}");
    // Another authority: refused, with what to do, and without the password.
    let other = tempfile::tempdir().unwrap();
    certificate(other.path());
    let output = stage(&other.path().join("cert.pem").display().to_string()).output(&run);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("certificate") && said.contains("SSL_CERT_FILE"), "{said}");
    assert!(!said.contains("canary-secret"), "{said}");
}

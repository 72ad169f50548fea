//! What the server asks of the host: granted and refused.

use std::path::Path;
use std::process::{Command, Output};

use crate::common::{Client, Server, eventually, is_ringwire, server_binary};

/// CAP_IPC_LOCK and CAP_SYS_NICE, as bits.
const CAPABILITIES: u64 = 1 << 14 | 1 << 23;

fn status_of(pid: u32, key: &str) -> String {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    text.lines()
        .find_map(|line| line.strip_prefix(key))
        .expect("a line of the status")
        .trim()
        .to_owned()
}

/// Whether this process may lock memory and run under SCHED_FIFO.
fn is_privileged() -> bool {
    let effective = status_of(std::process::id(), "CapEff:");
    u64::from_str_radix(&effective, 16).expect("a mask") & CAPABILITIES == CAPABILITIES
}

/// Runs the server without these capabilities until it ends by itself.
fn run_unprivileged(args: &[&str]) -> Output {
    let mut command = if is_privileged() {
        let mut setpriv = Command::new("setpriv");
        setpriv
            .arg("--bounding-set=-ipc_lock,-sys_nice")
            .arg(server_binary());
        setpriv
    } else {
        Command::new(server_binary())
    };
    command
        .args(["-a", "127.0.0.1", "-p", "-1", "--cores", "1"])
        .args(args)
        .output()
        .expect("the server, and setpriv of util-linux")
}

#[test]
fn what_is_not_allowed_is_refused_with_its_limit() {
    if !is_ringwire() {
        println!("skipped: nats-server asks for nothing");
        return;
    }
    let soft = |resource: &str| {
        let limits = std::fs::read_to_string("/proc/self/limits").expect("limits");
        let line = limits.lines().find(|l| l.starts_with(resource));
        let numbers = line.expect("the limit").trim_start_matches(resource);
        let first = numbers.split_whitespace().next();
        first.expect("a soft limit").to_owned()
    };
    let mut refused: Vec<(&[&str], String)> = Vec::new();
    let locked = soft("Max locked memory");
    if locked != "unlimited" {
        let line = format!("--lock_memory: the limit of locked memory is {locked} bytes");
        refused.push((&["--lock_memory"], line));
    }
    if soft("Max realtime priority") == "0" {
        let line = "--realtime: priority 3 is not allowed: give CAP_SYS_NICE".to_owned();
        refused.push((&["--realtime", "3"], line));
    }
    for (args, line) in refused {
        let output = run_unprivileged(args);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{args:?}: {text}");
        assert!(text.contains(&format!("[FTL] {line}")), "{args:?}: {text}");
        assert!(!text.contains("client connections on"), "{text}");
    }
}

#[test]
fn what_is_allowed_is_done() {
    if !is_ringwire() {
        println!("skipped: nats-server asks for nothing");
        return;
    }
    if !is_privileged() {
        println!("skipped: needs CAP_IPC_LOCK and CAP_SYS_NICE");
        return;
    }
    let server = Server::builder()
        .cores(1)
        .args(["--lock_memory", "--realtime", "3", "--busy_poll", "20us"])
        .start();
    let mut client = Client::ready(server.addr());
    client.send("SUB a 1\r\nPUB a 2\r\nhi\r\n");
    assert_eq!(client.msg().payload, b"hi");
    assert_ne!(status_of(server.pid(), "VmLck:"), "0 kB");
    // Fields 40 and 41 of stat(5): priority and policy, SCHED_FIFO being 1.
    let fifo = |task: &Path| {
        let stat = std::fs::read_to_string(task.join("stat")).expect("a thread");
        let (_, fields) = stat.rsplit_once(") ").expect("a name in brackets");
        let fields: Vec<&str> = fields.split(' ').collect();
        (fields[37], fields[38]) == ("3", "1")
    };
    let tasks = std::fs::read_dir(format!("/proc/{}/task", server.pid())).expect("threads");
    let count = tasks
        .filter(|task| fifo(&task.as_ref().expect("a thread").path()))
        .count();
    assert_eq!(count, 1, "the core's thread and no other");
}

#[test]
fn huge_pages_are_taken_or_counted() {
    if !is_ringwire() {
        println!("skipped: nats-server asks for nothing");
        return;
    }
    let read = |name: &str| -> u64 {
        let path = format!("/sys/kernel/mm/hugepages/hugepages-2048kB/{name}");
        std::fs::read_to_string(path).map_or(0, |text| text.trim().parse().expect("a count"))
    };
    let free = read("free_hugepages") - read("resv_hugepages");
    let mut server = Server::builder().cores(1).args(["--huge_pages"]).spawn();
    if free >= 1 {
        server.wait_ready();
        return;
    }
    let (status, log) = server.wait_output();
    assert_eq!(status.code(), Some(1));
    let line = format!("[FTL] --huge_pages: 1 huge pages of 2048 KiB are needed, {free} are free");
    assert!(
        log.contains(&line) && log.contains("vm.nr_hugepages=1"),
        "{log}"
    );
}

#[test]
fn real_time_cores_that_never_sleep_leave_a_cpu() {
    if !is_ringwire() || !is_privileged() {
        println!("skipped: needs Ringwire and CAP_SYS_NICE");
        return;
    }
    let online = std::thread::available_parallelism().expect("CPUs").get();
    let mut server = Server::builder()
        .cores(online)
        .args(["--realtime", "1", "--spin", "forever"])
        .spawn();
    let (status, log) = server.wait_output();
    assert_eq!(status.code(), Some(1));
    assert!(
        log.contains("[FTL] --realtime with --spin forever"),
        "{log}"
    );
}

/// Harnesses look for the address in the log: no warning may look like that line.
#[test]
fn host_settings_are_one_warning_before_the_server_is_ready() {
    if !is_ringwire() {
        println!("skipped: nats-server does not look at the host");
        return;
    }
    // CPUs that may be used without asking are not isolated.
    let start = |args: &[&str]| {
        let server = Server::builder()
            .cores(1)
            .args(args.iter().copied().chain(["--spin", "1us"]))
            .start();
        server.log_lines()
    };
    let about_host = |lines: &[String], tag: &str| {
        let of_host = |l: &&String| l.contains(tag) && l.contains("] Host");
        lines.iter().filter(of_host).count()
    };
    let lines = start(&[]);
    assert_eq!(
        (about_host(&lines, "[WRN]"), about_host(&lines, "[DBG]")),
        (1, 0)
    );
    let at = |text: &str| lines.iter().position(|l| l.contains(text)).expect(text);
    assert!(at("not isolated") < at("client connections on"));
    assert!(lines[at("client connections on")].contains("Listening for client connections on "));
    let lines = start(&["-D"]);
    assert_eq!(about_host(&lines, "[WRN]"), 1);
    assert!(about_host(&lines, "[DBG]") >= 1, "{lines:?}");
}

/// Connections of each core.
fn spread(server: &Server) -> Vec<u64> {
    let figures = server.get_json("/corez");
    let cores = figures["cores"].as_array().expect("cores");
    cores
        .iter()
        .map(|core| core["connections"].as_u64().expect("a count"))
        .collect()
}

#[test]
fn cores_take_turns_if_told_so() {
    if !is_ringwire() {
        println!("skipped: nats-server has no cores");
        return;
    }
    for (way, expected) in [("least", [1, 1]), ("round_robin", [2, 0])] {
        let server = Server::builder()
            .cores(2)
            .monitor()
            .args(["--accept", way])
            .start();
        let _first = Client::ready(server.addr());
        let second = Client::ready(server.addr());
        assert_eq!(spread(&server), [1, 1], "{way}");
        drop(second);
        eventually("the end of the second connection", || {
            (spread(&server) == [1, 0]).then_some(())
        });
        let _third = Client::ready(server.addr());
        assert_eq!(spread(&server), expected, "{way}");
    }
}

#[test]
fn connections_go_to_the_cpu_of_their_packets() {
    if !is_ringwire() {
        println!("skipped: nats-server has no cores");
        return;
    }
    let cpus: Vec<usize> = ringwire::runtime::cpus::allowed().expect("an affinity mask");
    let cpus = &cpus[..cpus.len().min(2)];
    let list: Vec<String> = cpus.iter().map(usize::to_string).collect();
    let server = Server::builder()
        .monitor()
        .args(["--accept", "incoming_cpu", "--cpus", &list.join(",")])
        .start();
    // On loopback packets come in on the CPU that sends them. The last one first, which the
    // core with the fewest connections would not get.
    let core = cpus.len() - 1;
    let clients: Vec<Client> = std::thread::scope(|scope| {
        let connect = || {
            pin(cpus[core]);
            (0..3).map(|_| Client::ready(server.addr())).collect()
        };
        scope.spawn(connect).join().expect("clients")
    });
    let mut expected = vec![0; cpus.len()];
    expected[core] = clients.len() as u64;
    assert_eq!(spread(&server), expected);
}

/// Pins the calling thread.
fn pin(cpu: usize) {
    // SAFETY: the set is a plain bit mask on this stack, of the size given.
    let result = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set)
    };
    assert_eq!(result, 0, "the CPU is in the mask");
}

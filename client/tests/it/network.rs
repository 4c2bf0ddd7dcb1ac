//! A network for one test: hosts are network namespaces of this machine, and only hosts of one segment reach each other.
//!
//! A segment is a bridge in a namespace of its own and a subnet. A host has an address on each of its segments, and no
//! other route, so what it reaches is what it shares a segment with. Nothing of the machine's own network is changed, but
//! that it has an address on those segments that a forwarder of the test listens on.

use std::net::Ipv4Addr;
use std::process::{Command, Stdio};

use crate::process::{Ended, run};

/// Namespaces are named after this and the process that made them.
const PREFIX: &str = "quickchat-";

/// The machine itself as a member of a segment.
pub const OUTSIDE: &str = "outside";

/// The hosts and segments of one test, removed when this is dropped. Whatever runs on a host must have ended by then.
pub struct Network {
    namespaces: Vec<String>,
    /// The second number of the addresses, 10.x.
    area: u8,
    segments: Vec<Segment>,
}

struct Segment {
    name: &'static str,
    members: Vec<&'static str>,
}

impl Network {
    /// A network without hosts.
    ///
    /// # Panics
    /// Where the machine does not let this process make one, with what is missing.
    pub fn new() -> Self {
        let version = Command::new("ip").arg("-V").stdout(Stdio::null()).status();
        assert!(
            version.is_ok_and(|status| status.success()),
            "this test needs the command `ip` of iproute2, which is not installed: run the tests by scripts/test.sh, \
             which installs it, or install Debian's package iproute2"
        );
        sweep();
        Self { namespaces: Vec::new(), area: unused_area(), segments: Vec::new() }
    }

    /// Adds a host.
    pub fn add(&mut self, host: &str) {
        self.make_namespace(host);
    }

    /// Puts hosts, which exist, on a segment of their own.
    pub fn connect(&mut self, name: &'static str, members: &[&'static str]) {
        let number = self.segments.len() + 1;
        let switch = self.make_namespace(name);
        ip(&["-n", &switch, "link", "add", "bridge0", "type", "bridge"]);
        ip(&["-n", &switch, "link", "set", "bridge0", "up"]);
        self.segments.push(Segment { name, members: members.to_vec() });
        for (index, member) in members.iter().enumerate() {
            let port = format!("port{index}");
            let address = format!("{}/24", self.address(name, member));
            if *member == OUTSIDE {
                // Removed with its other end.
                let device = format!("qc{}n{number}", std::process::id());
                ip(&["link", "add", "name", &device, "type", "veth", "peer", "name", &port, "netns", &switch]);
                ip(&["addr", "add", &address, "dev", &device]);
                ip(&["link", "set", &device, "up"]);
            } else {
                let host = self.namespace(member);
                let make = ["link", "add", "name", name, "netns", &host, "type", "veth", "peer", "name", &port];
                ip(&[&make[..], &["netns", &switch]].concat());
                ip(&["-n", &host, "addr", "add", &address, "dev", name]);
                ip(&["-n", &host, "link", "set", name, "up"]);
            }
            ip(&["-n", &switch, "link", "set", &port, "master", "bridge0", "up"]);
        }
    }

    /// Takes a host off a segment, or puts it back.
    pub fn set_link(&self, host: &str, segment: &str, state: &str) {
        ip(&["-n", &self.namespace(host), "link", "set", segment, state]);
    }

    /// The address of a host on a segment.
    pub fn address(&self, segment: &str, host: &str) -> Ipv4Addr {
        let number = self.segments.iter().position(|known| known.name == segment).expect("a segment of this network");
        let member = self.segments[number].members.iter().position(|known| *known == host);
        let member = member.unwrap_or_else(|| panic!("{host} is not on {segment}"));
        Ipv4Addr::new(10, self.area, u8::try_from(number + 1).unwrap(), u8::try_from(member + 1).unwrap())
    }

    /// The same command, run on a host. The process is the command's own: `ip` becomes it.
    pub fn on(&self, host: &str, command: &Command) -> Command {
        let mut inside = Command::new("ip");
        inside.args(["netns", "exec", &self.namespace(host)]).arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => inside.env(name, value),
                None => inside.env_remove(name),
            };
        }
        if let Some(folder) = command.get_current_dir() {
            inside.current_dir(folder);
        }
        inside.stdin(Stdio::null());
        inside
    }

    /// Whether a host can open a connection to an address.
    pub fn reaches(&self, host: &str, address: Ipv4Addr, port: u16) -> bool {
        self.talk(host, address, port, "").code == Some(0)
    }

    /// Opens a connection from a host, sends a text if there is one, and waits for the answer's end.
    pub fn talk(&self, host: &str, address: Ipv4Addr, port: u16, text: &str) -> Ended {
        let script = "exec 3<>/dev/tcp/$0/$1 || exit 1; [ -z \"$2\" ] || { printf \"$2\" >&3; cat <&3; }";
        let mut command = Command::new("timeout");
        command.args(["3", "bash", "-c", script, &address.to_string(), &port.to_string(), text]);
        run(&mut self.on(host, &command))
    }

    fn namespace(&self, host: &str) -> String {
        format!("{PREFIX}{}-{host}", std::process::id())
    }

    fn make_namespace(&mut self, name: &str) -> String {
        let namespace = self.namespace(name);
        ip(&["netns", "add", &namespace]);
        self.namespaces.push(namespace.clone());
        ip(&["-n", &namespace, "link", "set", "lo", "up"]);
        namespace
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for namespace in &self.namespaces {
            remove(namespace);
        }
    }
}

fn remove(namespace: &str) {
    let removed = Command::new("ip").args(["netns", "del", namespace]).output();
    if let Ok(output) = removed
        && !output.status.success()
    {
        println!("{namespace} is left: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// Removes what test runs of the past left, which were killed.
fn sweep() {
    let listed = Command::new("ip").args(["netns", "list"]).output().unwrap();
    for line in String::from_utf8_lossy(&listed.stdout).lines() {
        let name = line.split(' ').next().unwrap_or_default();
        let process = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        let Some(process) = process.and_then(|text| text.parse::<u32>().ok()) else { continue };
        if !std::path::Path::new("/proc").join(process.to_string()).exists() {
            remove(name);
        }
    }
}

/// A number x for which this machine has neither an address in 10.x nor a route there.
fn unused_area() -> u8 {
    let taken = [["-4", "addr"], ["-4", "route"]].map(|arguments| Command::new("ip").args(arguments).output().unwrap());
    let taken: String = taken.iter().map(|output| String::from_utf8_lossy(&output.stdout)).collect();
    let first = u8::try_from(std::process::id() % 100).unwrap();
    let free = |area: &u8| !taken.contains(&format!(" 10.{area}.")) && !taken.contains(&format!("\n10.{area}."));
    (100 + first..=250).chain(100..100 + first).find(free).expect("some 10.x is free")
}

#[track_caller]
fn ip(arguments: &[&str]) {
    let output = Command::new("ip").args(arguments).stdin(Stdio::null()).output().unwrap();
    assert!(
        output.status.success(),
        "`ip {}` failed: {}\nThis test makes network namespaces, bridges and virtual interfaces. It must run as root with \
         CAP_NET_ADMIN and CAP_SYS_ADMIN (in a container: `docker run --privileged`) on a Linux with CONFIG_NET_NS, \
         CONFIG_BRIDGE and CONFIG_VETH.",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
}

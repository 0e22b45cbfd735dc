//! The processor quota and the memory limit of the process's cgroup, version 1, version 2, or both at once.
//!
//! A quota holds for everything below it, so the smallest one from the process's own group up to the root of what
//! is mounted counts. The standard library looks at quotas too; it does not say how it reads
//! a hybrid tree, and a quota that is missed makes threads wait for each other in every window.
//!
//! Formats: Linux, `admin-guide/cgroup-v2` (`cpu.max`), `scheduler/sched-bwc` (`cpu.cfs_*`), `cgroups(7)`,
//! `proc_pid_mountinfo(5)`. What cannot be read or understood is no quota.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

/// Cores that the quotas leave, rounded down and at least one; `None` without a quota.
///
/// `read` gives a file's content, and `None` where there is no file.
pub(super) fn quota_cores(read: &dyn Fn(&Path) -> Option<String>) -> Option<NonZeroUsize> {
    smallest("cpu", read, |version, directory| version.cores(directory, read))
}

/// Bytes of memory that the limits leave; `None` without a limit.
pub(super) fn memory_limit(read: &dyn Fn(&Path) -> Option<String>) -> Option<u64> {
    smallest("memory", read, |version, directory| version.memory(directory, read))
}

/// The smallest limit of one controller, from the process's own group up.
fn smallest<T: Ord>(
    controller: &str,
    read: &dyn Fn(&Path) -> Option<String>,
    limit: impl Fn(Version, &Path) -> Option<T>,
) -> Option<T> {
    let groups = read(Path::new("/proc/self/cgroup"))?;
    let mounts = parse_mounts(controller, &read(Path::new("/proc/self/mountinfo"))?);
    let mut smallest = None;
    for (version, group) in parse_groups(controller, &groups) {
        for mount in mounts.iter().filter(|mount| mount.version == version) {
            for directory in mount.directories(&group) {
                smallest = [smallest, limit(version, &directory)].into_iter().flatten().min();
            }
        }
    }
    smallest
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

impl Version {
    /// Cores that one directory's own quota leaves.
    fn cores(
        self,
        directory: &Path,
        read: &dyn Fn(&Path) -> Option<String>,
    ) -> Option<NonZeroUsize> {
        match self {
            Self::V1 => quota_v1(
                &read(&directory.join("cpu.cfs_quota_us"))?,
                &read(&directory.join("cpu.cfs_period_us"))?,
            ),
            Self::V2 => quota_v2(&read(&directory.join("cpu.max"))?),
        }
    }

    /// Bytes that one directory's own limit leaves. Version 1 says "no limit" by a number near the largest.
    fn memory(self, directory: &Path, read: &dyn Fn(&Path) -> Option<String>) -> Option<u64> {
        let file = match self {
            Self::V1 => "memory.limit_in_bytes",
            Self::V2 => "memory.max",
        };
        let bytes: u64 = read(&directory.join(file))?.trim().parse().ok()?;
        (bytes < NO_LIMIT).then_some(bytes)
    }
}

/// More than any machine has.
const NO_LIMIT: u64 = 1 << 62;

/// `cpu.cfs_quota_us` is -1 without a quota.
fn quota_v1(quota_us: &str, period_us: &str) -> Option<NonZeroUsize> {
    whole_cores(quota_us.trim().parse().ok()?, period_us.trim().parse().ok()?)
}

/// `cpu.max` holds quota and period; the quota is `max` without one.
fn quota_v2(cpu_max: &str) -> Option<NonZeroUsize> {
    let (quota_us, period_us) = cpu_max.trim().split_once(' ')?;
    whole_cores(quota_us.parse().ok()?, period_us.parse().ok()?)
}

fn whole_cores(quota_us: u64, period_us: u64) -> Option<NonZeroUsize> {
    let cores = usize::try_from(quota_us.checked_div(period_us)?).ok()?;
    Some(NonZeroUsize::new(cores).unwrap_or(NonZeroUsize::MIN))
}

/// The process's group in each hierarchy that can limit what `controller` controls, from `/proc/self/cgroup`.
fn parse_groups(controller: &str, content: &str) -> Vec<(Version, PathBuf)> {
    let group = |line: &str| {
        let mut fields = line.splitn(3, ':');
        let (id, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let version = if id == "0" && controllers.is_empty() {
            Version::V2
        } else if controllers.split(',').any(|name| name == controller) {
            Version::V1
        } else {
            return None;
        };
        Some((version, PathBuf::from(path)))
    };
    content.lines().filter_map(group).collect()
}

/// Where a hierarchy is mounted.
#[derive(Debug, PartialEq, Eq)]
struct Mount {
    version: Version,
    /// The group that is seen at `point`.
    root: PathBuf,
    point: PathBuf,
}

impl Mount {
    /// Directories of `group` and of all groups above it that this mount shows.
    ///
    /// A container may see its own group at the mount point while `/proc/self/cgroup` names it
    /// otherwise; then only the mount point is looked at.
    fn directories(&self, group: &Path) -> Vec<PathBuf> {
        let below = group.strip_prefix(&self.root).unwrap_or(Path::new(""));
        let is_below =
            below.components().all(|part| matches!(part, std::path::Component::Normal(_)));
        let below = if is_below { below } else { Path::new("") };
        below.ancestors().map(|part| self.point.join(part)).collect()
    }
}

/// The mounts that can limit it, from `/proc/self/mountinfo`.
fn parse_mounts(controller: &str, content: &str) -> Vec<Mount> {
    let mount = |line: &str| {
        let (mount, filesystem) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(3);
        let (root, point) = (mount.next()?, mount.next()?);
        let mut filesystem = filesystem.split(' ');
        let (kind, _source, options) = (filesystem.next()?, filesystem.next()?, filesystem.next()?);
        let version = match kind {
            "cgroup2" => Version::V2,
            "cgroup" if options.split(',').any(|option| option == controller) => Version::V1,
            _ => return None,
        };
        Some(Mount { version, root: unescape(root), point: unescape(point) })
    };
    content.lines().filter_map(mount).collect()
}

/// The kernel writes blanks and backslashes of a path as three octal digits.
fn unescape(field: &str) -> PathBuf {
    let escapes = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    escapes.iter().fold(field.to_owned(), |path, (code, plain)| path.replace(code, plain)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1_MOUNT: &str = "33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct";
    const V2_MOUNT: &str =
        "31 23 0:28 / /sys/fs/cgroup rw,relatime - cgroup2 cgroup2 rw,nsdelegate";

    /// Reads `files`, a path and a content each, as a process would read the system's.
    fn check(groups: &str, mounts: &str, files: &[(&str, &str)], cores: Option<usize>) {
        let read = |path: &Path| match path.to_str()? {
            "/proc/self/cgroup" => Some(groups.to_owned()),
            "/proc/self/mountinfo" => Some(mounts.to_owned()),
            path => files
                .iter()
                .find(|(name, _)| *name == path)
                .map(|(_, content)| (*content).to_owned()),
        };
        assert_eq!(quota_cores(&read).map(NonZeroUsize::get), cores);
    }

    #[test]
    fn reads_a_version_1_quota_and_rounds_down() {
        let quota = |quota, cores| {
            let files = [
                ("/sys/fs/cgroup/cpu,cpuacct/pod/cpu.cfs_quota_us", quota),
                ("/sys/fs/cgroup/cpu,cpuacct/pod/cpu.cfs_period_us", "100000\n"),
            ];
            check("5:cpu,cpuacct:/pod\n1:name=systemd:/\n", V1_MOUNT, &files, cores);
        };
        quota("200000\n", Some(2));
        quota("199999\n", Some(1));
        quota("50000\n", Some(1));
        quota("-1\n", None);
        quota("nonsense\n", None);
    }

    #[test]
    fn reads_a_version_2_quota_and_rounds_down() {
        let quota = |quota, cores| {
            check("0::/pod\n", V2_MOUNT, &[("/sys/fs/cgroup/pod/cpu.max", quota)], cores);
        };
        quota("350000 100000\n", Some(3));
        quota("10000 100000\n", Some(1));
        quota("max 100000\n", None);
        quota("100000 0\n", None);
        quota("", None);
    }

    #[test]
    fn the_smallest_quota_above_a_nested_group_counts() {
        let files = [
            ("/sys/fs/cgroup/slice/cpu.max", "200000 100000"),
            ("/sys/fs/cgroup/slice/pod/cpu.max", "max 100000"),
            ("/sys/fs/cgroup/slice/pod/container/cpu.max", "800000 100000"),
            ("/sys/fs/cgroup/slice/pod/neighbour/cpu.max", "100000 100000"),
        ];
        check("0::/slice/pod/container\n", V2_MOUNT, &files, Some(2));
    }

    #[test]
    fn both_hierarchies_of_a_hybrid_tree_count() {
        let mounts = "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                      35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                      41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let groups = "4:memory:/other\n1:cpu:/pod\n0::/pod\n";
        let v1 = [
            ("/sys/fs/cgroup/cpu/pod/cpu.cfs_quota_us", "300000"),
            ("/sys/fs/cgroup/cpu/pod/cpu.cfs_period_us", "100000"),
        ];
        check(groups, mounts, &v1, Some(3));
        let v2 = ("/sys/fs/cgroup/unified/pod/cpu.max", "100000 50000");
        check(groups, mounts, &[v1[0], v1[1], v2], Some(2));
        check(groups, mounts, &[], None);
    }

    #[test]
    fn a_container_sees_its_group_at_the_mount_point() {
        let files = [("/sys/fs/cgroup/cpu.max", "200000 100000")];
        let bind = "31 23 0:28 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup2 rw";
        check("0::/docker/abc\n", bind, &files, Some(2));
        check("0::/elsewhere\n", bind, &files, Some(2));
        check("0::/../sibling\n", V2_MOUNT, &files, Some(2));
    }

    #[test]
    fn a_mount_point_may_hold_blanks() {
        let mount = r"31 23 0:28 / /mnt/a\040b rw - cgroup2 cgroup2 rw";
        check("0::/pod\n", mount, &[("/mnt/a b/pod/cpu.max", "200000 100000")], Some(2));
    }

    #[test]
    fn no_cgroup_is_no_quota() {
        check("", "", &[], None);
        check("0::/\n", "31 23 0:28 / / rw - ext4 /dev/vda rw", &[], None);
    }
}

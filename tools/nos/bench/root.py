"""The root of whole programs: packed from this machine, the same for both kernels."""
import glob
import os
import shutil
import stat
import subprocess

import guest
import packages
from bench.model import FOLDER
from bench.programs import SOURCE, compile_program, libraries
from cli import Failure

APPS = os.path.join(SOURCE, "apps")
PACKAGES = {"/usr/bin/git": "git", "/usr/bin/sqlite3": "sqlite3", "/usr/bin/perl": "perl",
            "/usr/bin/python3": "python3", "/usr/bin/gcc": "gcc", "/usr/bin/make": "make",
            "/usr/include/stdio.h": "libc6-dev", "/usr/bin/find": "findutils"}
PROGRAMS = ("sh dash bash cat cp rm mv ls mkdir ln tr sort expr test uname grep sed find tar make "
            "git sqlite3 perl python3 gcc as ld head wc cut env true echo touch").split()
# Patterns of files that programs open by name.
FILES = ("/usr/lib/gcc/x86_64-linux-gnu/*/cc1", "/usr/lib/gcc/x86_64-linux-gnu/*/collect2",
         "/usr/lib/gcc/x86_64-linux-gnu/*/*.o", "/usr/lib/gcc/x86_64-linux-gnu/*/libgcc*",
         "/usr/lib/gcc/x86_64-linux-gnu/*/include/*.h", "/usr/lib/gcc/x86_64-linux-gnu/*/liblto*",
         "/usr/lib/x86_64-linux-gnu/*crt*.o", "/usr/lib/x86_64-linux-gnu/libc.so",
         "/usr/lib/x86_64-linux-gnu/libc_nonshared.a", "/usr/lib/x86_64-linux-gnu/libc.so.6",
         "/usr/lib/x86_64-linux-gnu/libgcc_s.so.1", "/usr/lib/x86_64-linux-gnu/perl-base",
         "/usr/include/*.h", "/usr/include/x86_64-linux-gnu/bits",
         "/usr/include/x86_64-linux-gnu/sys", "/usr/include/x86_64-linux-gnu/gnu",
         "/usr/include/x86_64-linux-gnu/asm", "/usr/include/linux", "/usr/include/asm-generic",
         "/usr/lib/python3.*/*.py", "/usr/lib/python3.*/__pycache__",
         "/usr/lib/python3.*/json", "/usr/lib/python3.*/re", "/usr/lib/python3.*/collections",
         "/usr/lib/python3.*/encodings", "/usr/lib/python3.*/importlib", "/etc/passwd",
         "/etc/group", "/etc/ld.so.cache")
TREE_FILES = 20000


class Root:
    """Files by their path in the guest; folders and links follow."""

    def __init__(self):
        self.files = {}     # path -> (source on this machine or bytes, mode)
        self.links = {}
        self.folders = {"tmp", "dev", "proc", "sys", "root", "run"}
        for name in ("bin", "sbin", "lib", "lib64"):
            if os.path.islink("/" + name):
                self.links[name] = os.readlink("/" + name)

    def resolved(self, path):
        """The path with links of folders followed, as this machine has them."""
        folder, name = os.path.split(path)
        return os.path.join(os.path.realpath(folder), name)

    def add(self, path):
        """A file, link or folder of this machine, at the same path."""
        path = self.resolved(path)
        name = path.lstrip("/")
        if os.path.islink(path):
            if name not in self.links:
                self.links[name] = os.readlink(path)
                target = os.path.join(os.path.dirname(path), os.readlink(path))
                if os.path.exists(target):
                    self.add(target)
        elif os.path.isdir(path):
            for entry in os.scandir(path):
                self.add(entry.path)
        elif os.path.isfile(path) and name not in self.files:
            self.files[name] = (path, stat.S_IMODE(os.stat(path).st_mode))

    def add_program(self, path):
        self.add(path)
        for library in libraries(path):
            self.add(library)

    def put(self, name, content, mode=0o644):
        self.files[name] = (content, mode)

    def put_tree(self, name, folder):
        for where, _, names in os.walk(folder):
            for entry in names:
                path = os.path.join(where, entry)
                self.files[os.path.join(name, os.path.relpath(path, folder))] = \
                    (path, stat.S_IMODE(os.stat(path).st_mode) | 0o600)
            self.folders.add(os.path.normpath(os.path.join(name, os.path.relpath(where, folder))))

    def all_folders(self):
        folders = set(self.folders)
        for name in [*self.files, *self.links, *self.folders]:
            while "/" in name:
                name = name.rpartition("/")[0]
                folders.add(name)
        return sorted(folders - self.links.keys())

    def pack(self, path):
        archive = guest.Archive()
        for name in self.all_folders():
            archive.add(name, stat.S_IFDIR | (0o1777 if name == "tmp" else 0o755))
        for name, target in sorted(self.links.items()):
            archive.add(name, stat.S_IFLNK | 0o777, os.fsencode(target))
        for name, (content, mode) in sorted(self.files.items()):
            if isinstance(content, str):
                content = guest.read(content)
            archive.add(name, stat.S_IFREG | mode, content)
        with open(path + ".new", "wb") as file:
            file.write(archive.finish())
        os.rename(path + ".new", path)


def project_files():
    """A small C project of twelve files and a makefile."""
    names = [f"part{i}" for i in range(12)]
    for i, name in enumerate(names):
        functions = "".join(f"""
static int {name}_step{j}(const char *text, int value)
{{
	char buffer[64];

	snprintf(buffer, sizeof(buffer), "%s:%d", text, value * {j + i + 3});
	for (size_t at = 0; at < strlen(buffer); at++)
		value = value * 31 + buffer[at];
	return value % {j * 7 + 11};
}}
""" for j in range(10))
        calls = "".join(f"\tvalue += {name}_step{j}(\"{name}\", value);\n" for j in range(10))
        yield name + ".c", (f"#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n{functions}"
                            f"\nint {name}(int value)\n{{\n{calls}\treturn value;\n}}\n")
    declarations = "".join(f"int {name}(int value);\n" for name in names)
    calls = "".join(f"\tvalue = {name}(value);\n" for name in names)
    yield "main.c", (f"#include <stdio.h>\n{declarations}\nint main(void)\n{{\n\tint value = 1;\n\n"
                     f"{calls}\tprintf(\"%d\\n\", value);\n\treturn 0;\n}}\n")
    objects = " ".join(name + ".o" for name in [*names, "main"])
    yield "Makefile", (f"project: {objects}\n\tgcc -o $@ $^\n\n%.o: %.c\n\tgcc -O1 -c -o $@ $<\n\n"
                       "clean:\n\trm -f *.o project\n")


def sqlite_text():
    yield "create table t (id integer primary key, name text, value real);"
    yield "create index by_name on t (name);"
    for block in range(20):
        yield "begin;"
        for i in range(1000):
            number = block * 1000 + i
            yield (f"insert into t values ({number}, 'name {number * 7919 % 20000}', "
                   f"{number / 7:.3f});")
        yield "commit;"
    yield "select count(*), sum(value) from t where name like 'name 1%';"
    yield "update t set value = value + 1 where id % 3 = 0;"
    yield "select name, value from t order by name limit 100;"


def make_tree(folder):
    """A git repository of 20,000 files, made once."""
    done = os.path.join(folder, ".git", "nos-done")
    if os.path.exists(done):
        return
    shutil.rmtree(folder, ignore_errors=True)
    for i in range(TREE_FILES):
        where = os.path.join(folder, f"d{i % 20:02}", f"e{i // 20 % 25:02}")
        os.makedirs(where, exist_ok=True)
        with open(os.path.join(where, f"file{i}.txt"), "w", encoding="utf-8") as file:
            file.write(f"file {i}\n" * 4)
    env = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1"}
    identity = ["-c", "user.name=nos", "-c", "user.email=nos@localhost", "-c", "gc.auto=0"]
    for command in (["init", "-q"], ["add", "."], [*identity, "commit", "-q", "-m", "all"],
                    ["repack", "-q", "-a", "-d"]):
        if subprocess.run(["git", *command], cwd=folder, env=env, check=False).returncode:
            raise Failure("the git tree for the benchmark could not be made")
    with open(done, "wb"):
        pass


def make_archive():
    """build/bench/apps.cpio, packed anew if what it is made from changed: its path."""
    packages.ensure(PACKAGES)
    sources = [os.path.join(APPS, name) for name in os.listdir(APPS)] + [os.path.abspath(__file__)]
    runner = compile_program("runner", ["gcc", "-O2", "-Wall", "-static",
                                        os.path.join(APPS, "runner.c")], sources)
    loads = compile_program("loads", ["gcc", "-O2", "-Wall", "-static",
                                      os.path.join(APPS, "loads.c")], sources)
    path = os.path.join(FOLDER, "apps.cpio")
    if os.path.exists(path) and os.stat(path).st_mtime >= max(
            os.stat(source).st_mtime for source in [*sources, runner, loads]):
        return path
    root = Root()
    for name in PROGRAMS:
        found = shutil.which(name, path="/usr/bin:/bin")
        if found:
            root.add_program(found)
    for pattern in FILES:
        for match in glob.glob(pattern):
            root.add(match)
            if os.access(match, os.X_OK) and os.path.isfile(match):
                root.add_program(match)
    for name, content in project_files():
        root.put("apps/project/" + name, content.encode())
    root.put("apps/sqlite.sql", "\n".join(sqlite_text()).encode())
    for name in ("rows.txt", "configure.sh"):
        root.put("apps/" + name, guest.read(os.path.join(APPS, name)))
    root.put("apps/runner", guest.read(runner), 0o755)
    root.put("apps/loads", guest.read(loads), 0o755)
    tree = os.path.join(FOLDER, "tree")
    make_tree(tree)
    root.put_tree("apps/tree", tree)
    root.pack(path)
    return path

"""MariaDB and PostgreSQL, each an instance of its own: own folder, own port on loopback, nothing of the system's is touched."""

import glob
import os
import pwd
import shutil
import subprocess
import tempfile

from .process import Process
from .process import accepts
from .process import free_port

USER, PASSWORD, NAME = "gateway", "gatewaypw", "gatewaydb"


def found(*patterns):
    return next((path for pattern in patterns for path in sorted(glob.glob(pattern), reverse=True)), None)


class Server:
    """`run_sql` takes the text of a script; `url` is what a SIP host is given."""

    def __init__(self):
        # Not under pytest's folder: only root may enter that one.
        self.folder = tempfile.mkdtemp(prefix="xmpp-gateway-db-")
        self.port = free_port()
        self.process = None

    def stop(self):
        if self.process:
            self.process.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _client(self, command, sql, **options):
        done = subprocess.run(command, input=sql, capture_output=True, text=True, timeout=60, check=False, **options)
        if done.returncode != 0:
            raise AssertionError(f"{command[0]}: {done.stderr}")
        return done.stdout


class MariaDb(Server):
    kind = "mysql"
    program = found("/usr/sbin/mariadbd", "/usr/sbin/mysqld")

    @classmethod
    def missing(cls):
        return None if cls.program and shutil.which("mariadb-install-db") else "no MariaDB (Debian package mariadb-server)"

    def start(self):
        data = os.path.join(self.folder, "data")
        user = pwd.getpwuid(os.getuid()).pw_name
        subprocess.run(["mariadb-install-db", "--no-defaults", f"--datadir={data}", f"--user={user}",
                        "--auth-root-authentication-method=normal", "--skip-test-db"],
                       check=True, capture_output=True, timeout=120)
        self.process = Process("mariadb", self.folder, [
            self.program, "--no-defaults", f"--user={user}", f"--datadir={data}", f"--port={self.port}", "--bind-address=127.0.0.1",
            f"--socket={self.folder}/sock", f"--pid-file={self.folder}/pid"])
        self.process.wait_ready(lambda: accepts(self.port))
        self._as("root", None, f"CREATE DATABASE {NAME}; CREATE USER {USER}@'127.0.0.1' IDENTIFIED BY '{PASSWORD}';"
                               f"GRANT ALL ON {NAME}.* TO {USER}@'127.0.0.1';")
        return self

    @property
    def url(self):
        return f"mysql://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{NAME}"

    def run_sql(self, sql):
        return self._as(USER, PASSWORD, sql, NAME)

    def _as(self, user, password, sql, *database):
        command = ["mariadb", "--no-defaults", "--default-character-set=utf8mb4", "-N", "-h", "127.0.0.1", "-P", str(self.port), "-u", user,
                   *([f"-p{password}"] if password else []), *database]
        return self._client(command, sql)


class PostgreSql(Server):
    kind = "postgres"
    programs = os.path.dirname(found("/usr/lib/postgresql/*/bin/initdb", "/usr/bin/initdb") or "")

    @classmethod
    def missing(cls):
        if not cls.programs or not shutil.which("psql"):
            return "no PostgreSQL (Debian package postgresql)"
        return None if os.getuid() or "postgres" in [entry.pw_name for entry in pwd.getpwall()] else "no user postgres to run it as"

    def start(self):
        data = os.path.join(self.folder, "data")
        # It refuses to run as root.
        become = []
        if os.getuid() == 0:
            shutil.chown(self.folder, "postgres")
            become = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        password = os.path.join(self.folder, "password")
        with open(password, "w", encoding="utf-8") as file:
            file.write(PASSWORD)
        os.chmod(password, 0o644)
        subprocess.run([*become, f"{self.programs}/initdb", "-D", data, "-U", USER, f"--pwfile={password}", "-A", "scram-sha-256", "-E", "UTF8",
                        "--locale=C"], check=True, capture_output=True, timeout=120, cwd=self.folder)
        self.process = Process("postgres", self.folder, [
            *become, f"{self.programs}/postgres", "-D", data, "-p", self.port, "-h", "127.0.0.1", "-k", self.folder])
        self.process.wait_ready(lambda: self._ready())
        self._psql("postgres", f"CREATE DATABASE {NAME};")
        return self

    def _ready(self):
        try:
            self._psql("postgres", "SELECT 1;")
            return True
        except AssertionError:
            return False

    @property
    def url(self):
        return f"postgres://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{NAME}"

    def run_sql(self, sql):
        return self._psql(NAME, sql)

    def _psql(self, database, sql):
        command = ["psql", "-X", "-q", "-t", "-A", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", str(self.port), "-U", USER, database]
        return self._client(command, sql, env={**os.environ, "PGPASSWORD": PASSWORD})

// What tells a database from a copy of its files, in folders that stand for /sys and /.
#include "worker/machine.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <filesystem>
#include <fstream>

namespace mailer::worker {
namespace {

namespace fs = std::filesystem;

class MachineTest : public testing::Test {
protected:
    MachineTest() {
        char name[] = "/tmp/mailer-machine-XXXXXX";
        folder = mkdtemp(name);
    }
    ~MachineTest() override { fs::remove_all(folder); }
    void write(const std::string& path, const std::string& text) {
        fs::create_directories(fs::path(folder + path).parent_path());
        std::ofstream(folder + path) << text << "\n";
    }
    std::string device() const {
        struct stat st = {};
        stat(folder.c_str(), &st);
        return "/dev/block/" + std::to_string(major(st.st_dev)) + ":" + std::to_string(minor(st.st_dev));
    }
    std::string folder;
};

Machine here() { return {"", "0123", "serial:disk", "host"}; }

TEST_F(MachineTest, VolumeIsKnownByItsSerialNumber) {
    EXPECT_EQ(read_volume(folder, folder), "");
    write(device() + "/serial", "  vol-1  ");
    EXPECT_EQ(read_volume(folder, folder), "serial:vol-1");
}

TEST_F(MachineTest, PartitionIsKnownByItsDisk) {
    write("/devices/sda/wwid", "naa.5000");
    write("/devices/sda/sda1/partition", "1");
    fs::create_directories(folder + "/dev/block");
    fs::create_symlink(folder + "/devices/sda/sda1", folder + device());
    EXPECT_EQ(read_volume(folder, folder), "wwid:naa.5000");
}

TEST_F(MachineTest, NonceStaysAndDoesNotComeWithACopy) {
    const std::string nonce = read_nonce(folder + "/nonce");
    EXPECT_EQ(nonce.size(), 32U);
    EXPECT_EQ(read_nonce(folder + "/nonce"), nonce);
    fs::copy_file(folder + "/nonce", folder + "/copy");
    EXPECT_NE(read_nonce(folder + "/copy"), nonce);
    write("/cut", "0123");
    EXPECT_EQ(read_nonce(folder + "/cut").size(), 32U);
    EXPECT_EQ(read_nonce(folder + "/no/such/folder"), "");
}

TEST_F(MachineTest, HostIsNotKnownInAContainer) {
    write("/etc/machine-id", "abc");
    if (getenv("container") == nullptr && getenv("KUBERNETES_SERVICE_HOST") == nullptr) {
        EXPECT_EQ(read_host_id(folder), "abc");
    }
    write("/.dockerenv", "");
    EXPECT_EQ(read_host_id(folder), "");
}

TEST(Machine, SameVolumeElsewhereIsTheSame) {
    Machine elsewhere = here();
    elsewhere.host = "another";
    EXPECT_TRUE(is_same(here(), elsewhere));
}

TEST(Machine, SnapshotOnAnotherVolumeIsNot) {
    Machine snapshot = here();
    snapshot.volume = "serial:other";
    EXPECT_FALSE(is_same(here(), snapshot));
}

TEST(Machine, CopyWithoutTheNonceIsNot) {
    Machine copy = here();
    copy.nonce = "4567";
    EXPECT_FALSE(is_same(here(), copy));
    copy.nonce.clear();
    EXPECT_FALSE(is_same(copy, copy));
}

TEST(Machine, WithoutASerialNumberTheHostDecides) {
    Machine then = here(), now = here();
    then.volume = now.volume = "";
    EXPECT_TRUE(is_same(then, now));
    EXPECT_FALSE(now.can_tell_clones());
    now.host = "another";
    EXPECT_FALSE(is_same(then, now));
    now.host = "";  // in a container: nothing is known
    EXPECT_TRUE(is_same(then, now));
}

TEST(Machine, IdentityOutdoesEverything) {
    Machine now = here();
    now.identity = "pod-0";
    EXPECT_FALSE(is_same(here(), now));
    Machine then = machine_of(to_text(now));
    now.nonce = now.volume = "other";
    EXPECT_TRUE(is_same(then, now));
    now.identity = "pod-1";
    EXPECT_FALSE(is_same(then, now));
}

TEST(Machine, TextHoldsAllOfIt) {
    Machine odd = here();
    odd.volume = "serial:a;b=c";
    EXPECT_TRUE(is_same(machine_of(to_text(odd)), odd));
    EXPECT_EQ(machine_of(to_text(odd)).nonce, "0123");
}

}  // namespace
}  // namespace mailer::worker

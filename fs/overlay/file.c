/*
 * Overlay files: an open file is the real one behind the overlay's path.
 */
#include <asm/fcntl.h>

#include "overlay.h"

/*
 * Opens the real file and lets *f become it: operations, inode and private data
 * are the real one's; the path stays the overlay's.
 */
static int file_open(struct inode *i, struct file *f)
{
	struct overlay_inode *o = overlay_inode(i);

	if (f->mode & FILE_WRITE) {
		int err = overlay_copy_up(i, f->flags & O_TRUNC ? 0 : U64_MAX);

		if (err)
			return err;
	}

	struct inode *real = overlay_real(o)->inode;

	return file_become(f, real);
}

const struct file_ops overlay_file_ops = {
	.open = file_open,
};

static const char *get_link(struct inode *i, char **to_free)
{
	return inode_link_text(overlay_real(overlay_inode(i))->inode, to_free);
}

#define COMMON_OPS                                                                                 \
	.set_attributes = overlay_set_attributes, .get_xattr = overlay_get_xattr,                  \
	.set_xattr = overlay_set_xattr, .list_xattr = overlay_list_xattr

const struct inode_ops overlay_file_lower_ops = { COMMON_OPS };
const struct inode_ops overlay_file_upper_ops = {
	COMMON_OPS,
	.get_attributes = overlay_get_attributes,
};
const struct inode_ops overlay_link_lower_ops = { COMMON_OPS, .get_link = get_link };
const struct inode_ops overlay_link_upper_ops = {
	COMMON_OPS,
	.get_link = get_link,
	.get_attributes = overlay_get_attributes,
};

/* SPDX-License-Identifier: Apache-2.0 */
/* The version, which meson.build alone knows. */
#include "tricast/message.h"

const char *tri_version(void)
{
    return TRI_VERSION;
}
